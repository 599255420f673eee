import type { AwsSettings } from "../../form.ts";
import { type Cast, type Casting, kept, privateBucket, ref } from "./member.ts";

/** Whether AWS has the device CA. */
export const isPrivateCa = ({ pki }: AwsSettings): boolean => pki.kind === "tls" && pki.deviceCa === "acmPca";

/** CAs below the root whose keys Terraform makes, or somebody gives. */
export const issuing = (settings: AwsSettings): readonly ("infrastructure" | "device")[] =>
  isPrivateCa(settings) ? ["infrastructure"] : ["infrastructure", "device"];

/** The device CA in AWS Private CA, and the bucket that its list is written to. */
export const privateCaCast: Casting = (settings): Cast => {
  if (!isPrivateCa(settings)) return {};
  return {
    ...privateBucket(settings, { part: "pki", id: "lists", key: "lists-key", forEach: true }),
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
