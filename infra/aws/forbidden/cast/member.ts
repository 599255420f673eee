import type { AwsSettings } from "../../form.ts";

/**
 * What a field may be: null is whatever it is, because another rule looks at it or nothing hangs on it; a text is that value alone; a
 * list is all that it holds, in whatever order. References are written in full, as `meaning` says them.
 */
export type Allowed = null | string | readonly string[];

/** A resource's fields by their path, "metadata_options.http_tokens". What is not here must not be there; what says a value must be. */
export type Member = Readonly<Record<string, Allowed>>;

/** Who may be in a stack, by "TYPE.ID". "TYPE.*" is any number of them, whose own rules say which. */
export type Cast = Readonly<Record<string, Member>>;

/** Everything of a stack that is to be there, from the settings alone. */
export type Casting = (settings: AwsSettings) => Cast;

export const ref = (place: string): string => ["$", `{${place}}`].join("");
export const VPC = ref("network aws_vpc.vpc.id");
export const group = (name: string): string => ref(`network aws_security_group.${name}.id`);
export const subnet = (kind: "open" | "restricted", zone: string): string => ref(`network aws_subnet.${kind}-${zone}.id`);
export const subnets = (kind: "open" | "restricted", { network }: AwsSettings): string[] =>
  network.zones.map(({ name }) => subnet(kind, name));

/** Many of one kind. */
export const cast = <T>(of: readonly T[], each: (one: T) => Cast): Cast => Object.assign({}, ...of.map(each)) as Cast;

/** What says that Terraform is not to destroy it, where the settings protect. */
export const kept = ({ protection }: AwsSettings): Member => (protection ? { "lifecycle.prevent_destroy": "true" } : {});

/** A key that encrypts. */
export const encryptionKey: Member = {
  deletion_window_in_days: "30",
  description: null,
  enable_key_rotation: "true",
  policy: null,
  tags: null,
};

/** A role with its one policy. */
export const role = (part: string, name: string, said: string): Cast => ({
  [`aws_iam_role.${name}-role`]: { assume_role_policy: null, name: null },
  [`aws_iam_role_policy.${name}-policy`]: { name: said, policy: null, role: ref(`${part} aws_iam_role.${name}-role.id`) },
});

interface Bucket {
  readonly part: string;
  readonly id: string;
  /** The id of its key. */
  readonly key: string;
  /** Whether S3 asks the key for each object. */
  readonly forEach: boolean;
}

/** A bucket of the account's alone, and all that makes it so. */
export function privateBucket({ environment, protection }: AwsSettings, { part, id, key, forEach }: Bucket): Cast {
  const inBucket: Member = { bucket: ref(`${part} aws_s3_bucket.${id}.id`) };
  return {
    [`aws_kms_key.${key}`]: encryptionKey,
    [`aws_s3_bucket.${id}`]: { bucket_prefix: `${environment}-entityos-gate-`, force_destroy: String(!protection) },
    [`aws_s3_bucket_public_access_block.${id}-private`]: {
      ...inBucket,
      block_public_acls: "true",
      block_public_policy: "true",
      ignore_public_acls: "true",
      restrict_public_buckets: "true",
    },
    [`aws_s3_bucket_ownership_controls.${id}-owner`]: { ...inBucket, "rule.object_ownership": "BucketOwnerEnforced" },
    [`aws_s3_bucket_versioning.${id}-versions`]: { ...inBucket, "versioning_configuration.status": "Enabled" },
    [`aws_s3_bucket_server_side_encryption_configuration.${id}-encryption`]: {
      ...inBucket,
      "rule.apply_server_side_encryption_by_default.kms_master_key_id": ref(`${part} aws_kms_key.${key}.arn`),
      "rule.apply_server_side_encryption_by_default.sse_algorithm": "aws:kms",
      "rule.bucket_key_enabled": String(!forEach),
    },
    [`aws_s3_bucket_policy.${id}-policy`]: { ...inBucket, policy: null },
  };
}
