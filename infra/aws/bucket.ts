import type { KmsKey } from "@cdktf/provider-aws/lib/kms-key/index.js";
import { S3Bucket } from "@cdktf/provider-aws/lib/s3-bucket/index.js";
import { S3BucketLifecycleConfiguration } from "@cdktf/provider-aws/lib/s3-bucket-lifecycle-configuration/index.js";
import { S3BucketOwnershipControls } from "@cdktf/provider-aws/lib/s3-bucket-ownership-controls/index.js";
import { S3BucketPolicy } from "@cdktf/provider-aws/lib/s3-bucket-policy/index.js";
import { S3BucketPublicAccessBlock } from "@cdktf/provider-aws/lib/s3-bucket-public-access-block/index.js";
import { S3BucketServerSideEncryptionConfigurationA } from "@cdktf/provider-aws/lib/s3-bucket-server-side-encryption-configuration/index.js";
import { S3BucketVersioningA } from "@cdktf/provider-aws/lib/s3-bucket-versioning/index.js";
import { S3Object } from "@cdktf/provider-aws/lib/s3-object/index.js";
import { bucketPrefix } from "./endpoints.ts";
import type { PlannedPackage } from "./packages.ts";
import { type AwsStack, policy } from "./stack.ts";

/** Requests and certificates of a host's enrolment are of no use for longer. */
const ENROLMENT_DAYS = 30;

/** The bucket that packages and enrolments pass through: packages/FILE, hosts/NAME/INSTANCE/. Nothing in it is secret, all of it is trusted. */
export function writeBucket(stack: AwsStack, key: KmsKey, packages: readonly PlannedPackage[]): S3Bucket {
  const bucket = new S3Bucket(stack, "bucket", { bucketPrefix: bucketPrefix(stack), forceDestroy: !stack.settings.protection });
  const of = { bucket: bucket.id };
  new S3BucketPublicAccessBlock(stack, "bucket-private", {
    ...of,
    blockPublicAcls: true,
    blockPublicPolicy: true,
    ignorePublicAcls: true,
    restrictPublicBuckets: true,
  });
  new S3BucketOwnershipControls(stack, "bucket-owner", { ...of, rule: { objectOwnership: "BucketOwnerEnforced" } });
  new S3BucketVersioningA(stack, "bucket-versions", { ...of, versioningConfiguration: { status: "Enabled" } });
  new S3BucketServerSideEncryptionConfigurationA(stack, "bucket-encryption", {
    ...of,
    rule: [{ bucketKeyEnabled: true, applyServerSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: key.arn } }],
  });
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
  new S3BucketPolicy(stack, "bucket-policy", {
    ...of,
    policy: policy([
      {
        Sid: "TlsAlone",
        Effect: "Deny",
        Principal: "*",
        Action: ["s3:*"],
        Resource: [bucket.arn, `${bucket.arn}/*`],
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ]),
  });
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
