import type { AwsSettings } from "../../form.ts";
import { type Cast, type Casting, encryptionKey, kept, type Member, ref } from "./member.ts";

/** Whether AWS has the device CA. */
export const isPrivateCa = ({ pki }: AwsSettings): boolean => pki.kind === "tls" && pki.deviceCa === "acmPca";

/** CAs below the root whose keys Terraform makes, or somebody gives. */
export const issuing = (settings: AwsSettings): readonly ("infrastructure" | "device")[] =>
  isPrivateCa(settings) ? ["infrastructure"] : ["infrastructure", "device"];

/** The device CA in AWS Private CA, and the bucket that its list is written to. */
export const privateCaCast: Casting = (settings): Cast => {
  if (!isPrivateCa(settings)) return {};
  const { environment, protection } = settings;
  const inBucket: Member = { bucket: ref("pki aws_s3_bucket.lists.id") };
  return {
    "aws_kms_key.lists-key": encryptionKey,
    "aws_s3_bucket.lists": { bucket_prefix: `${environment}-entityos-gate-`, force_destroy: String(!protection) },
    "aws_s3_bucket_public_access_block.lists-private": {
      ...inBucket,
      block_public_acls: "true",
      block_public_policy: "true",
      ignore_public_acls: "true",
      restrict_public_buckets: "true",
    },
    "aws_s3_bucket_ownership_controls.lists-owner": { ...inBucket, "rule.object_ownership": "BucketOwnerEnforced" },
    "aws_s3_bucket_versioning.lists-versions": { ...inBucket, "versioning_configuration.status": "Enabled" },
    "aws_s3_bucket_server_side_encryption_configuration.lists-encryption": {
      ...inBucket,
      "rule.apply_server_side_encryption_by_default.kms_master_key_id": ref("pki aws_kms_key.lists-key.arn"),
      "rule.apply_server_side_encryption_by_default.sse_algorithm": "aws:kms",
      "rule.bucket_key_enabled": "false",
    },
    "aws_s3_bucket_policy.lists-policy": { ...inBucket, policy: null },
    "aws_acmpca_certificate_authority.device-ca": {
      "certificate_authority_configuration.key_algorithm": "EC_prime256v1",
      "certificate_authority_configuration.signing_algorithm": "SHA256WITHECDSA",
      "certificate_authority_configuration.subject.common_name": null,
      "certificate_authority_configuration.subject.organization": null,
      depends_on: null,
      permanent_deletion_time_in_days: "30",
      "revocation_configuration.crl_configuration.enabled": "true",
      "revocation_configuration.crl_configuration.expiration_in_days": "7",
      "revocation_configuration.crl_configuration.s3_bucket_name": ref("pki aws_s3_bucket.lists.id"),
      "revocation_configuration.crl_configuration.s3_object_acl": "BUCKET_OWNER_FULL_CONTROL",
      tags: null,
      type: "SUBORDINATE",
      usage_mode: "GENERAL_PURPOSE",
      ...kept(settings),
    },
  };
};
