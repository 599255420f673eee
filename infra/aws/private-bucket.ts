import type { KmsKey } from "@cdktf/provider-aws/lib/kms-key/index.js";
import { S3Bucket } from "@cdktf/provider-aws/lib/s3-bucket/index.js";
import { S3BucketOwnershipControls } from "@cdktf/provider-aws/lib/s3-bucket-ownership-controls/index.js";
import { S3BucketPublicAccessBlock } from "@cdktf/provider-aws/lib/s3-bucket-public-access-block/index.js";
import { S3BucketServerSideEncryptionConfigurationA } from "@cdktf/provider-aws/lib/s3-bucket-server-side-encryption-configuration/index.js";
import { S3BucketVersioningA } from "@cdktf/provider-aws/lib/s3-bucket-versioning/index.js";
import { bucketPrefix } from "./endpoints.ts";
import type { AwsStack, Statement } from "./stack.ts";

/**
 * A bucket of the account's alone, that keeps what was overwritten, all of it encrypted with a key. Its policy is the caller's, with
 * `tlsAlone` in it. @param forEach whether S3 asks the key for each object, so that the key's policy may name objects
 */
export function writePrivateBucket(stack: AwsStack, id: string, key: KmsKey, { forEach }: { readonly forEach: boolean }): S3Bucket {
  // Its name is one that S3's endpoint lets pass.
  const bucket = new S3Bucket(stack, id, { bucketPrefix: bucketPrefix(stack), forceDestroy: !stack.settings.protection });
  const of = { bucket: bucket.id };
  new S3BucketPublicAccessBlock(stack, `${id}-private`, {
    ...of,
    blockPublicAcls: true,
    blockPublicPolicy: true,
    ignorePublicAcls: true,
    restrictPublicBuckets: true,
  });
  new S3BucketOwnershipControls(stack, `${id}-owner`, { ...of, rule: { objectOwnership: "BucketOwnerEnforced" } });
  new S3BucketVersioningA(stack, `${id}-versions`, { ...of, versioningConfiguration: { status: "Enabled" } });
  new S3BucketServerSideEncryptionConfigurationA(stack, `${id}-encryption`, {
    ...of,
    rule: [{ bucketKeyEnabled: !forEach, applyServerSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: key.arn } }],
  });
  return bucket;
}

/** For a bucket's policy. */
export const tlsAlone = ({ arn }: S3Bucket): Statement => ({
  Sid: "TlsAlone",
  Effect: "Deny",
  Principal: "*",
  Action: ["s3:*"],
  Resource: [arn, `${arn}/*`],
  Condition: { Bool: { "aws:SecureTransport": "false" } },
});
