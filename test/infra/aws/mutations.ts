import type { Fields } from "../../../infra/aws/synthesis.ts";
import type { EnvironmentName, Open, OpenSynthesis } from "./synthesised.ts";

/** A slip of the hand: where it is made, what it does, and what the rule must say of it. */
export interface Mutation {
  readonly of?: EnvironmentName;
  readonly break: (synthesis: OpenSynthesis) => void;
  readonly found: readonly string[];
}

const ref = (text: string): string => ["$", `{${text}}`].join("");
const HOST = ["restricted", "aws_instance", "web-1"] as const;
const REGISTRY = ["registry", "aws_instance", "registry"] as const;
const INGRESS = "aws_vpc_security_group_ingress_rule";
const DATABASE = ["database", "aws_db_instance", "database"] as const;
const rule = (group: string, more: Fields): Fields => ({
  security_group_id: ref(`aws_security_group.${group}.id`),
  ip_protocol: "tcp",
  ...more,
});
const inside = (open: Open, key: string): Open => {
  const one = open[key];
  return (Array.isArray(one) ? one[0] : one) as Open;
};
const addStatement = (open: Open, statement: Readonly<Record<string, unknown>>): void => {
  const policy = JSON.parse(String(open.policy)) as { Statement: unknown[] };
  policy.Statement.push(statement);
  open.policy = JSON.stringify(policy);
};

/** Each rule's slips, by its name. */
export const MUTATIONS: Readonly<Record<string, readonly Mutation[]>> = {
  "wide-ingress": [
    {
      break: ({ put }) => put("network", INGRESS, "slip", rule("registry", { from_port: 443, to_port: 443, cidr_ipv4: "0.0.0.0/0" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: 0.0.0.0/0 reaches aws_security_group.registry on 443-443"],
    },
    {
      break: ({ put }) => put("network", INGRESS, "slip", rule("register-balancer", { ip_protocol: "-1", cidr_ipv6: "2000::/3" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: 2000::/3 reaches aws_security_group.register-balancer on 0-65535"],
    },
    {
      of: "trial",
      break: ({ put }) =>
        put("network", INGRESS, "slip", rule("service-balancer-ipv4", { from_port: 443, to_port: 443, cidr_ipv4: "0.0.0.0/0" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: 0.0.0.0/0 reaches aws_security_group.service-balancer-ipv4 on 443-443"],
    },
  ],
  "management-open": [
    {
      break: ({ put }) => put("network", INGRESS, "slip", rule("hosts", { from_port: 20, to_port: 25, cidr_ipv4: "198.51.100.0/28" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: port 22 is open"],
    },
    {
      break: ({ resource }) => {
        resource(...HOST).key_name = "alice";
      },
      found: ["restricted aws_instance.web-1: has an SSH key"],
    },
  ],
  "inline-rules": [
    {
      break: ({ resource }) => {
        resource("network", "aws_security_group", "hosts").ingress = [{ from_port: 443 }];
      },
      found: ["network aws_security_group.hosts: has rules of its own"],
    },
    {
      break: ({ put }) => put("network", "aws_default_security_group", "default-group", null),
      found: ["network aws_vpc.vpc: its default group is left as AWS makes it"],
    },
  ],
  "wide-egress": [
    {
      break: ({ resource }) => {
        resource("network", "aws_vpc_security_group_egress_rule", "hosts-to-0-0-0-0-0-443").to_port = 9_000;
      },
      found: ["network aws_vpc_security_group_egress_rule.hosts-to-0-0-0-0-0-443: 0.0.0.0/0 is reached on 443-9000"],
    },
  ],
  "public-address": [
    {
      break: ({ resource }) => {
        delete resource(...REGISTRY).associate_public_ip_address;
      },
      found: ["registry aws_instance.registry: may get a public address"],
    },
    {
      break: ({ resource }) => {
        resource("network", "aws_subnet", "restricted-eu-central-1a").map_public_ip_on_launch = true;
      },
      found: ["network aws_subnet.restricted-eu-central-1a: gives public addresses"],
    },
  ],
  "restricted-routed": [
    {
      break: ({ resource }) => {
        const association = resource("network", "aws_route_table_association", "restricted-eu-central-1a-association");
        association.route_table_id = ref("aws_route_table.open-routes.id");
      },
      found: [
        "network aws_route_table_association.restricted-eu-central-1a-association: aws_subnet.restricted-eu-central-1a is routed to the internet",
      ],
    },
  ],
  "no-flow-logs": [
    {
      break: ({ resource }) => {
        resource("network", "aws_flow_log", "flow-log").traffic_type = "REJECT";
      },
      found: ["network aws_vpc.vpc: its flows are not logged"],
    },
  ],
  "subnet-without-acl": [
    {
      break: ({ resource }) => {
        resource("network", "aws_network_acl", "restricted-acl").subnet_ids = [];
      },
      found: [
        "network aws_subnet.restricted-eu-central-1a: has AWS's own ACL",
        "network aws_subnet.restricted-eu-central-1b: has AWS's own ACL",
      ],
    },
    {
      break: ({ resource }) => {
        const entry = resource("network", "aws_network_acl_rule", "open-acl-in-answers-ipv4");
        entry.protocol = "-1";
      },
      found: ["network aws_network_acl_rule.open-acl-in-answers-ipv4: 0.0.0.0/0 is admitted to everything"],
    },
  ],
  "public-database": [
    {
      of: "replicas",
      break: ({ resource }) => {
        resource(...DATABASE).publicly_accessible = true;
      },
      found: ["database aws_db_instance.database: may be reached from outside"],
    },
    {
      of: "replicas",
      break: ({ put }) => put("network", INGRESS, "slip", rule("database", { from_port: 5432, to_port: 5432, cidr_ipv4: "10.20.0.0/16" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: admits others than the registry"],
    },
  ],
  "client-address-lost": [
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb_target_group", "service-ipv4-targets").preserve_client_ip = "false";
      },
      found: [
        "restricted aws_lb_target_group.service-ipv4-targets: passes no client's address",
        "restricted aws_lb_target_group.service-ipv4-targets: gives the gate packets of the load balancer",
      ],
    },
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb_target_group", "service-ipv4-targets").proxy_protocol_v2 = true;
      },
      found: ["restricted aws_lb_target_group.service-ipv4-targets: passes addresses in two ways"],
    },
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb", "service-ipv4").ip_address_type = "dualstack";
      },
      found: [
        "restricted aws_lb_target_group.service-ipv4-targets: is IPv4 behind a load balancer that takes IPv6 too, whose clients would lose their address",
      ],
    },
    {
      break: ({ put }) =>
        put("network", INGRESS, "slip", rule("service-balancer-ipv6", { from_port: 443, to_port: 443, cidr_ipv4: "203.0.113.0/24" })),
      found: [
        "restricted aws_lb_target_group.service-ipv6-targets: is IPv6 behind a load balancer that admits IPv4, whose clients would lose their address",
      ],
    },
    {
      break: ({ resource }) => {
        resource("registry", "aws_lb_target_group", "register-targets").proxy_protocol_v2 = false;
      },
      found: ["registry aws_lb_target_group.register-targets: passes no client's address"],
    },
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb_listener", "service-ipv4-listener").protocol = "TLS";
        resource("restricted", "aws_lb", "service-ipv6").load_balancer_type = "application";
      },
      found: [
        "restricted aws_lb_target_group.service-ipv4-targets: is behind TLS, which ends the client's connection",
        "restricted aws_lb_target_group.service-ipv6-targets: is not behind a network load balancer",
      ],
    },
  ],
  "wildcard-iam": [
    {
      break: ({ resource }) =>
        addStatement(resource("restricted", "aws_iam_role_policy", "web-1-policy"), {
          Effect: "Allow",
          Action: ["s3:*"],
          Resource: "arn:aws:s3:::x",
        }),
      found: ["restricted aws_iam_role_policy.web-1-policy: allows s3:*"],
    },
    {
      break: ({ resource }) =>
        addStatement(resource("restricted", "aws_iam_role_policy", "web-1-policy"), {
          Effect: "Allow",
          Action: "kms:Decrypt",
          Resource: "*",
        }),
      found: ["restricted aws_iam_role_policy.web-1-policy: allows kms:Decrypt on everything"],
    },
    {
      break: ({ resource }) =>
        addStatement(resource("pki", "aws_kms_key", "pki-key"), { Effect: "Allow", NotAction: "kms:Decrypt", Resource: "*" }),
      found: ["pki aws_kms_key.pki-key: allows all but something"],
    },
    {
      break: ({ put }) =>
        put("restricted", "aws_iam_role_policy_attachment", "slip", { policy_arn: "arn:aws:iam::aws:policy/AdministratorAccess" }),
      found: ["restricted aws_iam_role_policy_attachment.slip: is a policy that is not here"],
    },
  ],
  "open-principal": [
    {
      break: ({ resource }) =>
        addStatement(resource("registry", "aws_s3_bucket_policy", "bucket-policy"), {
          Effect: "Allow",
          Principal: { AWS: "*" },
          Action: ["s3:GetObject"],
          Resource: "arn:aws:s3:::x/packages/a",
        }),
      found: ["registry aws_s3_bucket_policy.bucket-policy: allows anyone something"],
    },
  ],
  "confused-deputy": [
    {
      break: ({ resource }) => {
        const role = resource("network", "aws_iam_role", "flows-role");
        const { Version, Statement } = JSON.parse(String(role.assume_role_policy)) as {
          Version: string;
          Statement: { Condition?: unknown }[];
        };
        role.assume_role_policy = JSON.stringify({ Version, Statement: Statement.map(({ Condition: _, ...rest }) => rest) });
      },
      found: ["network aws_iam_role.flows-role: is taken by a service for whatever account"],
    },
  ],
  "root-key-readable": [
    {
      break: ({ resource }) =>
        addStatement(resource("registry", "aws_iam_role_policy", "registry-policy"), {
          Effect: "Allow",
          Action: ["secretsmanager:GetSecretValue"],
          Resource: ref("aws_secretsmanager_secret.root-secret.arn"),
        }),
      found: ["registry aws_iam_role_policy.registry-policy: may use the root's key"],
    },
    {
      of: "kms",
      break: ({ resource }) =>
        addStatement(resource("registry", "aws_iam_role_policy", "registry-policy"), {
          Effect: "Allow",
          Action: ["kms:Sign"],
          Resource: ref(
            "data.terraform_remote_state.cross-stack-reference-input-kms-pki.outputs.cross-stack-output-aws_kms_keyroot-keyarn",
          ),
        }),
      found: ["registry aws_iam_role_policy.registry-policy: may use the root's key"],
    },
  ],
  "others-folder": [
    {
      break: ({ resource }) => {
        const role = resource("restricted", "aws_iam_role_policy", "web-1-policy");
        role.policy = String(role.policy).replaceAll("/hosts/web-1/", "/hosts/");
      },
      found: ["restricted aws_iam_role_policy.web-1-policy: reaches /hosts/*/agent.crt"],
    },
    {
      break: ({ resource }) => {
        const role = resource("restricted", "aws_iam_role_policy", "web-1-policy");
        role.policy = String(role.policy).replace("agent.csr", "agent.crt");
      },
      found: ["restricted aws_iam_role_policy.web-1-policy: writes more than requests"],
    },
  ],
  "unencrypted-storage": [
    {
      break: ({ resource, put }) => {
        inside(resource(...HOST), "root_block_device").encrypted = false;
        delete resource("registry", "aws_ebs_volume", "volume").kms_key_id;
        put("registry", "aws_s3_bucket_server_side_encryption_configuration", "bucket-encryption", null);
        delete resource("network", "aws_cloudwatch_log_group", "flows").kms_key_id;
        delete resource("alarms", "aws_sns_topic", "topic").kms_master_key_id;
      },
      found: [
        "restricted aws_instance.web-1: its disk is plain, or of AWS's key",
        "registry aws_ebs_volume.volume: is plain, or of AWS's key",
        "registry aws_s3_bucket.bucket: is not encrypted with a key of ours",
        "network aws_cloudwatch_log_group.flows: has no kms_key_id",
        "alarms aws_sns_topic.topic: has no kms_master_key_id",
      ],
    },
    {
      of: "replicas",
      break: ({ resource }) => {
        resource(...DATABASE).storage_encrypted = false;
      },
      found: ["database aws_db_instance.database: is plain, or of AWS's key"],
    },
  ],
  "public-bucket": [
    {
      break: ({ resource, put }) => {
        resource("registry", "aws_s3_bucket_public_access_block", "bucket-private").block_public_policy = false;
        put("registry", "aws_s3_bucket_policy", "bucket-policy", null);
        put("registry", "aws_s3_bucket_ownership_controls", "bucket-owner", null);
        put("registry", "aws_s3_bucket_versioning", "bucket-versions", null);
      },
      found: ["lacks block_public_policy", "takes ACLs", "answers without TLS", "keeps no versions"].map(
        (what) => `registry aws_s3_bucket.bucket: ${what}`,
      ),
    },
  ],
  "database-clear-text": [
    {
      of: "replicas",
      break: ({ resource }) => {
        resource(...DATABASE).password = "correct horse";
      },
      found: ["database aws_db_instance.database: its password is Terraform's"],
    },
    {
      of: "replicas",
      break: ({ resource }) => {
        resource("database", "aws_db_parameter_group", "parameters").parameter = [{ name: "rds.force_ssl", value: "0" }];
      },
      found: ["database aws_db_instance.database: speaks without TLS"],
    },
  ],
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
