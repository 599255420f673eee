import { block, type Fields, list, type Resource, referred, resourcesOf } from "../synthesis.ts";
import { statementsOf } from "./policy.ts";
import { at, each, type Forbidden } from "./rule.ts";

const MIN_BACKUP_DAYS = 7;
const name = ({ type, id }: Resource): string => `${type}.${id}`;

const unencrypted: Forbidden = {
  name: "unencrypted-storage",
  why: "whatever keeps data encrypts it with a key of ours",
  look: (synthesis) => {
    const encrypted = new Set(
      resourcesOf(synthesis, "aws_s3_bucket_server_side_encryption_configuration")
        .filter(({ fields }) => block(block(fields.rule).apply_server_side_encryption_by_default).sse_algorithm === "aws:kms")
        .map(({ fields }) => referred(fields.bucket)),
    );
    const keyed = (field: string) => (resource: Resource) => !(field in resource.fields) && `has no ${field}`;
    return [
      ...each(resourcesOf(synthesis, "aws_instance"), ({ fields }) => {
        const disk = block(fields.root_block_device);
        return !(disk.encrypted === true && "kms_key_id" in disk) && "its disk is plain, or of AWS's key";
      }),
      ...each(
        resourcesOf(synthesis, "aws_ebs_volume"),
        ({ fields }) => !(fields.encrypted === true && "kms_key_id" in fields) && "is plain, or of AWS's key",
      ),
      ...each(
        resourcesOf(synthesis, "aws_db_instance"),
        ({ fields }) => !(fields.storage_encrypted === true && "kms_key_id" in fields) && "is plain, or of AWS's key",
      ),
      ...each(resourcesOf(synthesis, "aws_s3_bucket"), (bucket) => !encrypted.has(name(bucket)) && "is not encrypted with a key of ours"),
      ...resourcesOf(synthesis, "aws_cloudwatch_log_group", "aws_secretsmanager_secret").flatMap((one) => each([one], keyed("kms_key_id"))),
      ...each(resourcesOf(synthesis, "aws_sns_topic"), keyed("kms_master_key_id")),
    ];
  },
};

const BLOCKS = ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"];

const publicBucket: Forbidden = {
  name: "public-bucket",
  why: "a bucket is the account's alone, answers over TLS alone, and keeps what was overwritten",
  look: (synthesis) =>
    resourcesOf(synthesis, "aws_s3_bucket").flatMap((bucket) => {
      const of = (type: string): Resource | undefined =>
        resourcesOf(synthesis, type).find(({ part, fields }) => part === bucket.part && referred(fields.bucket) === name(bucket));
      const wrong: string[] = [];
      const open = BLOCKS.filter((field) => of("aws_s3_bucket_public_access_block")?.fields[field] !== true);
      if (open.length > 0) wrong.push(`lacks ${open.join(", ")}`);
      if (block(of("aws_s3_bucket_ownership_controls")?.fields.rule).object_ownership !== "BucketOwnerEnforced") wrong.push("takes ACLs");
      const denied = statementsOf(of("aws_s3_bucket_policy")?.fields.policy ?? null).some(
        ({ Effect, Condition }) => Effect === "Deny" && JSON.stringify(Condition ?? null) === '{"Bool":{"aws:SecureTransport":"false"}}',
      );
      if (!denied) wrong.push("answers without TLS");
      if (block(of("aws_s3_bucket_versioning")?.fields.versioning_configuration).status !== "Enabled") wrong.push("keeps no versions");
      return wrong.map((what) => at(bucket, what));
    }),
};

const plainDatabase: Forbidden = {
  name: "database-clear-text",
  why: "the database speaks TLS alone, and its password is in no state",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_db_instance"), ({ part, fields }) => {
      if ("password" in fields || "password_wo" in fields || fields.manage_master_user_password !== true)
        return "its password is Terraform's";
      const group = referred(fields.parameter_group_name);
      const parameters = resourcesOf(synthesis, "aws_db_parameter_group").find((one) => one.part === part && name(one) === group);
      const forced = list(parameters?.fields.parameter).some((one) => block(one).name === "rds.force_ssl" && block(one).value === "1");
      return !forced && "speaks without TLS";
    }),
};

/** KMS turns over no key that signs. */
const isAsymmetric = ({ customer_master_key_spec: spec }: Fields): boolean => spec !== undefined && spec !== "SYMMETRIC_DEFAULT";

const rotation: Forbidden = {
  name: "key-rotation-off",
  why: "keys are turned over every year, and are not gone at once",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_kms_key"), ({ fields }) => {
      if (!isAsymmetric(fields) && fields.enable_key_rotation !== true) return "is never turned over";
      return Number(fields.deletion_window_in_days ?? 30) < 30 && "is gone before 30 days";
    }),
};

const retention: Forbidden = {
  name: "log-retention-missing",
  why: "logs are kept for a time that is said",
  look: (synthesis) =>
    each(
      resourcesOf(synthesis, "aws_cloudwatch_log_group"),
      ({ fields }) => !(Number(fields.retention_in_days) > 0) && "is kept for ever, and nobody said so",
    ),
};

/** Keys of what passes through alone: packages and enrolments, lists of AWS Private CA, mails of alarms. Every other goes with its data. */
const PASSING_KEYS = ["bucket-key", "lists-key", "alarms-key"];
/** What is lost for good when it is destroyed. */
const KEEPERS = [
  "aws_ebs_volume",
  "aws_db_instance",
  "aws_secretsmanager_secret",
  "aws_cloudwatch_log_group",
  "tls_private_key",
  "tls_self_signed_cert",
  "tls_locally_signed_cert",
];
const SWITCHES: Readonly<Record<string, string>> = {
  aws_lb: "enable_deletion_protection",
  aws_instance: "disable_api_termination",
  aws_db_instance: "deletion_protection",
};

const protection: Forbidden = {
  name: "deletion-protection-off",
  why: "where the settings protect, nothing that matters is deleted by a slip of the hand; what keeps data, not even by Terraform",
  look: (synthesis) => {
    if (!synthesis.settings.protection) return [];
    return [
      ...each(resourcesOf(synthesis, ...Object.keys(SWITCHES)), ({ type, fields }) => {
        const field = SWITCHES[type] ?? "";
        return fields[field] !== true && `has no ${field}`;
      }),
      ...each(
        resourcesOf(synthesis, "aws_kms_key").filter(({ id }) => !PASSING_KEYS.includes(id)),
        ({ fields }) => block(fields.lifecycle).prevent_destroy !== true && "may be destroyed",
      ),
      ...each(resourcesOf(synthesis, ...KEEPERS), ({ fields }) => block(fields.lifecycle).prevent_destroy !== true && "may be destroyed"),
      ...each(
        resourcesOf(synthesis, "aws_s3_bucket"),
        ({ fields }) => fields.force_destroy === true && "may be deleted with what is in it",
      ),
    ];
  },
};

const backups: Forbidden = {
  name: "no-backup",
  why: "what cannot be made again is copied regularly, and once more before it goes",
  look: (synthesis) => {
    const copied = resourcesOf(synthesis, "aws_dlm_lifecycle_policy")
      .filter(({ fields }) => fields.state === "ENABLED")
      .flatMap(({ fields }) => Object.entries(block(block(fields.policy_details).target_tags)).map(([key, value]) => `${key}=${value}`));
    return [
      ...each(resourcesOf(synthesis, "aws_ebs_volume"), ({ fields }) => {
        const tags = Object.entries(block(fields.tags)).map(([key, value]) => `${key}=${value}`);
        if (!tags.some((tag) => copied.includes(tag))) return "no snapshots are made of it";
        return fields.final_snapshot !== true && "leaves no last snapshot";
      }),
      ...each(resourcesOf(synthesis, "aws_db_instance"), ({ fields }) => {
        if (Number(fields.backup_retention_period ?? 0) < MIN_BACKUP_DAYS) return "its backups are kept for less than a week";
        return fields.skip_final_snapshot !== false && "leaves no last snapshot";
      }),
      ...each(
        resourcesOf(synthesis, "aws_secretsmanager_secret"),
        ({ fields }) => Number(fields.recovery_window_in_days ?? 30) < 7 && "is gone at once",
      ),
    ];
  },
};

export const STORAGE: readonly Forbidden[] = [unencrypted, publicBucket, plainDatabase, rotation, retention, protection, backups];
