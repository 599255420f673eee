import type { KmsKey } from "@cdktf/provider-aws/lib/kms-key/index.js";
import type { S3Bucket } from "@cdktf/provider-aws/lib/s3-bucket/index.js";
import { S3BucketLifecycleConfiguration } from "@cdktf/provider-aws/lib/s3-bucket-lifecycle-configuration/index.js";
import { S3BucketPolicy } from "@cdktf/provider-aws/lib/s3-bucket-policy/index.js";
import { S3Object } from "@cdktf/provider-aws/lib/s3-object/index.js";
import type { PlannedPackage } from "./packages.ts";
import { tlsAlone, writePrivateBucket } from "./private-bucket.ts";
import { type AwsStack, policy } from "./stack.ts";

/** Requests and certificates of a host's enrolment are of no use for longer. */
const ENROLMENT_DAYS = 30;

/** The bucket that packages and enrolments pass through: packages/FILE, hosts/NAME/INSTANCE/. Nothing in it is secret, all of it is trusted. */
export function writeBucket(stack: AwsStack, key: KmsKey, packages: readonly PlannedPackage[]): S3Bucket {
  const bucket = writePrivateBucket(stack, "bucket", key, { forEach: false });
  const of = { bucket: bucket.id };
  new S3BucketLifecycleConfiguration(stack, "bucket-lifecycle", {
    ...of,
    rule: [
      {
        id: "enrolments",
        status: "Enabled",
        filter: [{ prefix: "hosts/" }],
        expiration: [{ days: ENROLMENT_DAYS }],
        noncurrentVersionExpiration: [{ noncurrentDays: ENROLMENT_DAYS }],
      },
    ],
  });
  new S3BucketPolicy(stack, "bucket-policy", { ...of, policy: policy([tlsAlone(bucket)]) });
  for (const { file, source, sha256 } of packages) {
    new S3Object(stack, `package-${file}`, {
      bucket: bucket.id,
      key: `packages/${file}`,
      source,
      sourceHash: sha256,
      checksumAlgorithm: "SHA256",
    });
  }
  return bucket;
}
