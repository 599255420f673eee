import { DATABASE, HOST, inside, type Mutation, REGISTRY, ref } from "./mutation.ts";

/** Slips about what is kept, told and looked after, by the name of their rule. */
export const CARE: Readonly<Record<string, readonly Mutation[]>> = {
  "key-rotation-off": [
    {
      break: ({ resource }) => {
        resource("pki", "aws_kms_key", "pki-key").enable_key_rotation = false;
        resource("registry", "aws_kms_key", "key").deletion_window_in_days = 7;
      },
      found: ["pki aws_kms_key.pki-key: is never turned over", "registry aws_kms_key.key: is gone before 30 days"],
    },
  ],
  "log-retention-missing": [
    {
      break: ({ resource }) => {
        delete resource("network", "aws_cloudwatch_log_group", "flows").retention_in_days;
      },
      found: ["network aws_cloudwatch_log_group.flows: is kept for ever, and nobody said so"],
    },
  ],
  "deletion-protection-off": [
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb", "service-ipv4").enable_deletion_protection = false;
        delete resource(...REGISTRY).disable_api_termination;
        delete resource("registry", "aws_ebs_volume", "volume").lifecycle;
        delete resource("pki", "tls_private_key", "root-key").lifecycle;
        resource("registry", "aws_s3_bucket", "bucket").force_destroy = true;
      },
      found: [
        "restricted aws_lb.service-ipv4: has no enable_deletion_protection",
        "registry aws_instance.registry: has no disable_api_termination",
        "pki tls_private_key.root-key: may be destroyed",
        "registry aws_ebs_volume.volume: may be destroyed",
        "registry aws_s3_bucket.bucket: may be deleted with what is in it",
      ],
    },
    {
      of: "replicas",
      break: ({ resource }) => {
        resource(...DATABASE).deletion_protection = false;
      },
      found: ["database aws_db_instance.database: has no deletion_protection"],
    },
    {
      of: "kms",
      break: ({ resource }) => {
        delete resource("pki", "aws_kms_key", "device-key").lifecycle;
      },
      found: ["pki aws_kms_key.device-key: may be destroyed"],
    },
  ],
  "no-backup": [
    {
      break: ({ resource }) => {
        resource("registry", "aws_dlm_lifecycle_policy", "snapshots").state = "DISABLED";
        resource("pki", "aws_secretsmanager_secret", "root-secret").recovery_window_in_days = 0;
      },
      found: ["registry aws_ebs_volume.volume: no snapshots are made of it", "pki aws_secretsmanager_secret.root-secret: is gone at once"],
    },
    {
      of: "replicas",
      break: ({ resource }) => {
        resource(...DATABASE).backup_retention_period = 1;
      },
      found: ["database aws_db_instance.database: its backups are kept for less than a week"],
    },
  ],
  imdsv1: [
    {
      break: ({ resource }) => {
        inside(resource(...HOST), "metadata_options").http_tokens = "optional";
        inside(resource(...REGISTRY), "metadata_options").http_put_response_hop_limit = 2;
      },
      found: ["registry aws_instance.registry: answers over more hops than one", "restricted aws_instance.web-1: answers without a token"],
    },
  ],
  "secrets-in-user-data": [
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.user_data = `${host.user_data}\nexport AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n`;
        resource(...REGISTRY).user_data = ref("data.terraform_remote_state.cross-stack-reference-input-production-pki.outputs.slip");
      },
      found: ['restricted aws_instance.web-1: holds "AKIAIOSFODNN7EXAMPLE"'],
    },
    {
      break: ({ resource, stack }) => {
        inside(stack("pki"), "output").slip = { value: ref("tls_private_key.root-key.private_key_pem"), sensitive: true };
        resource(...REGISTRY).user_data = ref("data.terraform_remote_state.cross-stack-reference-input-production-pki.outputs.slip");
      },
      found: ["registry aws_instance.registry: holds tls_private_key.root-key.private_key_pem"],
    },
  ],
  "keys-outside-pki": [
    {
      break: ({ stack }) => {
        inside(stack("pki"), "output").slip = { value: ref("tls_private_key.root-key.private_key_pem") };
      },
      found: ["pki output slip: is tls_private_key.root-key.private_key_pem"],
    },
    {
      break: ({ put }) => put("registry", "tls_private_key", "slip", { algorithm: "ECDSA", lifecycle: { prevent_destroy: true } }),
      found: ["registry tls_private_key.slip: is made in another stack"],
    },
  ],
  "unchecked-packages": [
    {
      break: ({ resource }) => {
        delete resource("registry", "aws_s3_object", "package-amazon-ssm-agent_arm64deb").source_hash;
      },
      found: [
        "registry aws_s3_object.package-amazon-ssm-agent_arm64deb: has no checksum",
        "registry aws_instance.registry: wants amazon-ssm-agent_arm64.deb, which is not in the bucket with that checksum",
        "restricted aws_instance.web-1: wants amazon-ssm-agent_arm64.deb, which is not in the bucket with that checksum",
        "restricted aws_instance.web-2: wants amazon-ssm-agent_arm64.deb, which is not in the bucket with that checksum",
      ],
    },
  ],
  "user-data-too-long": [
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.user_data = String(host.user_data).padEnd(20_000, "#");
      },
      found: ["restricted aws_instance.web-1: has "],
    },
  ],
  "old-tls-policy": [
    {
      break: ({ resource }) => {
        const listener = resource("registry", "aws_lb_listener", "register-listener");
        listener.protocol = "TLS";
        listener.ssl_policy = "ELBSecurityPolicy-2016-08";
      },
      found: ["registry aws_lb_listener.register-listener: speaks ELBSecurityPolicy-2016-08"],
    },
  ],
  "no-alarm": [
    {
      break: ({ put, resource }) => {
        put("alarms", "aws_cloudwatch_metric_alarm", "web-1-status", null);
        resource("alarms", "aws_cloudwatch_metric_alarm", "register-none").alarm_actions = [];
        put("alarms", "aws_sns_topic_subscription", "mail", null);
      },
      found: [
        "registry aws_lb_target_group.register-targets: nobody is told",
        "restricted aws_instance.web-1: nobody is told",
        "alarms aws_sns_topic.topic: has nobody to tell",
      ],
    },
  ],
  "unencrypted-state": [
    {
      break: ({ stack }) => {
        inside(stack("network"), "terraform").backend = { local: { path: "x.tfstate" } };
        inside(inside(inside(stack("pki"), "terraform"), "backend"), "s3").encrypt = false;
        inside(inside(inside(stack("dns"), "terraform"), "backend"), "s3").use_lockfile = false;
      },
      found: ["dns backend: is not locked", "network backend: is local", "pki backend: is plain, or of AWS's key"],
    },
  ],
};
