import { addStatement, DATABASE, HOST, INGRESS, inside, type Mutation, REGISTRY, rule } from "./mutation.ts";

/** What a reviewer asks for by name, where no rule is named after it: which of them sees it. */
export const REVIEW: Readonly<Record<string, readonly Mutation[]>> = {
  "not-granted": [
    {
      break: ({ resource }) => {
        const everyone = { Effect: "Allow", Principal: "*", Action: ["kms:Decrypt"], Resource: "*" };
        addStatement(resource("pki", "aws_kms_key", "pki-key"), everyone);
        addStatement(resource("registry", "aws_kms_key", "key"), {
          ...everyone,
          Condition: { StringEquals: { "kms:ViaService": "ec2.eu-central-1.amazonaws.com" } },
        });
        addStatement(resource("registry", "aws_iam_role_policy", "registry-policy"), { Effect: "Allow", Action: "*", Resource: "*" });
        addStatement(resource("registry", "aws_iam_role_policy", "registry-policy"), {
          Effect: "Allow",
          Action: ["ssm:StartSession", "ssm:SendCommand"],
          Resource: "*",
        });
      },
      found: [
        'pki aws_kms_key.pki-key: allows kms:Decrypt on * to "*"',
        'registry aws_kms_key.key: allows kms:Decrypt on * to "*" if {"StringEquals":{"kms:ViaService":"ec2.eu-central-1.amazonaws.com"}}',
        "registry aws_iam_role_policy.registry-policy: allows * on *",
        "registry aws_iam_role_policy.registry-policy: allows ssm:StartSession, ssm:SendCommand on *",
      ],
    },
  ],
  "unlisted-flow": [
    {
      break: ({ put, resource }) => {
        put("network", INGRESS, "ssh", rule("registry", { from_port: 22, to_port: 22, cidr_ipv4: "10.20.0.0/16" }));
        put("network", INGRESS, "operator", rule("registry", { from_port: 8443, to_port: 8443, cidr_ipv6: "2001:db8::/64" }));
        resource("network", "aws_vpc_security_group_egress_rule", "hosts-to-0-0-0-0-0-443").ip_protocol = "-1";
      },
      found: [
        `network ${INGRESS}.ssh: 10.20.0.0/16 → registry 22`,
        `network ${INGRESS}.operator: 2001:db8::/64 → registry 8443`,
        "network aws_vpc_security_group_egress_rule.hosts-to-0-0-0-0-0-443: hosts → 0.0.0.0/0 protocol -1",
        "network aws_vpc_security_group_egress_rule: hosts → 0.0.0.0/0 443 is missing",
      ],
    },
  ],
  "unlisted-resource": [
    {
      break: ({ put, resource }) => {
        put("registry", "aws_snapshot_create_volume_permission", "slip", {
          snapshot_id: "snap-0fedcba9876543210",
          account_id: "999988887777",
        });
        put("restricted", "aws_ami_launch_permission", "slip", { image_id: "ami-0123456789abcdef0", group: "all" });
        put("registry", "aws_s3_bucket_acl", "slip", { acl: "public-read" });
        put("pki", "aws_kms_grant", "slip", { operations: ["Decrypt"] });
        inside(resource(...REGISTRY), "metadata_options").http_protocol_ipv6 = "enabled";
        resource("restricted", "aws_lb", "service-ipv4").enforce_security_group_inbound_rules_on_private_link_traffic = "off";
      },
      found: [
        "registry aws_snapshot_create_volume_permission.slip: is not on the list",
        "restricted aws_ami_launch_permission.slip: is not on the list",
        "registry aws_s3_bucket_acl.slip: is not on the list",
        "pki aws_kms_grant.slip: is not on the list",
        "registry aws_instance.registry: has metadata_options.http_protocol_ipv6",
        "restricted aws_lb.service-ipv4: has enforce_security_group_inbound_rules_on_private_link_traffic",
      ],
    },
  ],
  "other-value": [
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb", "service-ipv4").enable_cross_zone_load_balancing = false;
        delete resource("network", "aws_nat_gateway", "nat-eu-central-1a").depends_on;
        inside(resource(...HOST), "metadata_options").instance_metadata_tags = "enabled";
        resource(...HOST).monitoring = false;
        inside(resource("restricted", "aws_lb_target_group", "service-ipv6-targets"), "health_check").port = "443";
        resource("network", "aws_flow_log", "flow-log").max_aggregation_interval = 600;
        resource("network", "aws_cloudwatch_log_group", "flows").retention_in_days = 1;
      },
      found: [
        "restricted aws_lb.service-ipv4: enable_cross_zone_load_balancing is false",
        "network aws_nat_gateway.nat-eu-central-1a: depends_on is nothing",
        "restricted aws_instance.web-1: metadata_options.instance_metadata_tags is enabled",
        "restricted aws_instance.web-1: monitoring is false",
        "restricted aws_lb_target_group.service-ipv6-targets: health_check.port is 443",
        "network aws_flow_log.flow-log: max_aggregation_interval is 600",
        "network aws_cloudwatch_log_group.flows: retention_in_days is 1",
      ],
    },
    {
      of: "replicas",
      break: ({ resource }) => {
        const database = resource(...DATABASE);
        database.multi_az = false;
        database.auto_minor_version_upgrade = false;
        database.iam_database_authentication_enabled = false;
        database.delete_automated_backups = true;
        database.vpc_security_group_ids = [];
      },
      found: [
        "database aws_db_instance.database: multi_az is false",
        "database aws_db_instance.database: auto_minor_version_upgrade is false",
        "database aws_db_instance.database: iam_database_authentication_enabled is false",
        "database aws_db_instance.database: delete_automated_backups is true",
        "database aws_db_instance.database: vpc_security_group_ids is nothing",
      ],
    },
    {
      of: "private-ca",
      break: ({ resource }) => {
        const ca = resource("pki", "aws_acmpca_certificate_authority", "device-ca");
        ca.type = "ROOT";
        inside(inside(ca, "revocation_configuration"), "crl_configuration").s3_object_acl = "PUBLIC_READ";
      },
      found: [
        "pki aws_acmpca_certificate_authority.device-ca: type is ROOT",
        "pki aws_acmpca_certificate_authority.device-ca: revocation_configuration.crl_configuration.s3_object_acl is PUBLIC_READ",
      ],
    },
  ],
};
