import { HOST, INGRESS, inside, type Mutation, REGISTRY, ref, rule } from "./mutation.ts";
import type { Open } from "./synthesised.ts";

const ENTRY = "aws_network_acl_rule";

/** What AWS would refuse in the middle of a deploy. */
export const REFUSED: Readonly<Record<string, readonly Mutation[]>> = {
  "refused-by-aws": [
    {
      break: ({ resource }) => {
        resource("network", "aws_security_group", "endpoints").description = "AWS's services inside the network";
        resource("network", INGRESS, "registry-from-hosts-8444").description = "the feed → agents";
        resource("restricted", "aws_lb", "service-ipv4").name = "production-service-balancer-of-ipv4";
        resource("registry", "aws_lb_target_group", "register-targets").name = "internal-register";
        resource("restricted", "aws_iam_role", "web-1-role").name = "w".repeat(65);
        resource("registry", "aws_s3_bucket", "bucket").bucket_prefix = `${"b".repeat(37)}-`;
        resource("registry", "aws_dlm_lifecycle_policy", "snapshots").description = "production: registry";
        resource("pki", "aws_secretsmanager_secret", "root-secret").name = "entityos gate/root";
        inside(resource(...HOST), "tags").Name = "web-1 (Ada's)";
        const role = resource("restricted", "aws_iam_role_policy", "web-1-policy");
        role.policy = String(role.policy).replace('"Sid":"Packages"', '"Sid":"All packages"');
      },
      found: [
        "network aws_security_group.endpoints: AWS takes no such description: AWS's services inside the network",
        `network ${INGRESS}.registry-from-hosts-8444: AWS takes no such description: the feed → agents`,
        "restricted aws_lb.service-ipv4: AWS takes no such name: production-service-balancer-of-ipv4",
        "registry aws_lb_target_group.register-targets: AWS takes no such name: internal-register",
        `restricted aws_iam_role.web-1-role: AWS takes no such name: ${"w".repeat(65)}`,
        `registry aws_s3_bucket.bucket: AWS takes no such bucket_prefix: ${"b".repeat(37)}-`,
        "registry aws_dlm_lifecycle_policy.snapshots: AWS takes no such description: production: registry",
        "pki aws_secretsmanager_secret.root-secret: AWS takes no such name: entityos gate/root",
        "restricted aws_instance.web-1: AWS takes no such tag: web-1 (Ada's)",
        "restricted aws_iam_role_policy.web-1-policy: AWS takes no such Sid: All packages",
      ],
    },
    {
      break: ({ put, resource }) => {
        for (let index = 0; index < 61; index++)
          put("network", INGRESS, `slip-${index}`, rule("hosts", { from_port: 443, to_port: 443, cidr_ipv4: `203.0.${index}.0/24` }));
        for (let index = 0; index < 21; index++)
          put("network", ENTRY, `slip-${index}`, { network_acl_id: ref("aws_network_acl.slip.id"), egress: false });
        const policy = (sid: string, actions: number) =>
          JSON.stringify({
            Version: "2012-10-17",
            Statement: [{ Sid: sid, Effect: "Allow", Action: Array(actions).fill("s3:GetObject"), Resource: "*" }],
          });
        resource("restricted", "aws_iam_role_policy", "web-1-policy").policy = policy("Half", 400);
        resource("restricted", "aws_iam_role_policy", "web-1-own-policy").policy = policy("Other", 400);
        resource("network", "aws_iam_role", "flows-role").assume_role_policy = policy("Long", 200);
      },
      found: [
        `network ${INGRESS}: ${ref("aws_security_group.hosts.id")} IPv4 has 61, and AWS takes 60`,
        `network ${ENTRY}: ${ref("aws_network_acl.slip.id")} in has 21, and AWS takes 20`,
        `restricted aws_iam_role_policy: ${ref("aws_iam_role.web-1-role.id")} has policies of 12193 characters together`,
        "network aws_iam_role.flows-role: AWS takes no assume_role_policy as long as this",
      ],
    },
    {
      of: "replicas",
      break: ({ resource }) => {
        resource("database", "aws_db_instance", "database").max_allocated_storage = 65_537;
      },
      found: ["database aws_db_instance.database: AWS lets no database grow to more than 65536 GB"],
    },
  ],
};

/** Certificates that user data holds: in a host's the root, in the registry's root, infrastructure and device CA. */
const certificatesIn = ({ user_data }: Open): string[] =>
  [...String(user_data).matchAll(/-----BEGIN CERTIFICATE-----\n[\s\S]*?-----END CERTIFICATE-----/g)].map(([pem]) => pem);

/** Slips where the certificates are somebody's own, and the image is named, by the name of their rule. */
export const OWN: Readonly<Record<string, readonly Mutation[]>> = {
  "unlisted-resource": [
    {
      of: "own",
      break: ({ put, resource }) => {
        put("pki", "tls_private_key", "root-key", { algorithm: "ECDSA", ecdsa_curve: "P384" });
        put("pki", "aws_secretsmanager_secret", "root-secret", { name: "entityos-gate/own/root" });
        put("pki", "aws_secretsmanager_secret_version", "device-secret-version", { secret_string: "a key" });
        put("pki", "aws_secretsmanager_secret", "device-secret", null);
        resource("pki", "aws_secretsmanager_secret", "infrastructure-secret").force_overwrite_replica_secret = true;
      },
      found: [
        "pki tls_private_key.root-key: is not on the list",
        "pki aws_secretsmanager_secret.root-secret: is not on the list",
        "pki aws_secretsmanager_secret_version.device-secret-version: is not on the list",
        "pki aws_secretsmanager_secret.infrastructure-secret: has force_overwrite_replica_secret",
        "pki aws_secretsmanager_secret.device-secret: is missing",
      ],
    },
  ],
  "other-value": [
    {
      of: "own",
      break: ({ resource }) => {
        resource(...HOST).ami = "ami-0fedcba9876543210";
        resource(...REGISTRY).ami = ref("data.aws_ami.debian.id");
        resource("pki", "aws_secretsmanager_secret", "device-secret").kms_key_id = "alias/aws/secretsmanager";
      },
      found: [
        "restricted aws_instance.web-1: ami is ami-0fedcba9876543210",
        `registry aws_instance.registry: ami is ${ref("?")}`,
        "pki aws_secretsmanager_secret.device-secret: kms_key_id is alias/aws/secretsmanager",
      ],
    },
  ],
  "other-data": [
    {
      of: "own",
      break: ({ stack }) => {
        inside(stack("restricted"), "data").aws_ami = { debian: { owners: ["136693071363"], most_recent: true } };
      },
      found: ["restricted data.aws_ami.debian: looks for something else"],
    },
  ],
  "not-granted": [
    {
      of: "own",
      break: ({ resource }) => {
        const own = resource("registry", "aws_iam_role_policy", "registry-own-policy");
        own.policy = String(own.policy).replace(
          '"secretsmanager:GetSecretValue"',
          '"secretsmanager:GetSecretValue","secretsmanager:PutSecretValue"',
        );
      },
      found: [
        `registry aws_iam_role_policy.registry-own-policy: allows secretsmanager:GetSecretValue, secretsmanager:PutSecretValue on ${["infrastructure", "device"].map((name) => ref(`pki aws_secretsmanager_secret.${name}-secret.arn`)).join(", ")} if {"StringEquals":{"aws:userid":"${ref("registry aws_iam_role.registry-role.unique_id")}:${ref("registry aws_instance.registry.id")}"}}`,
      ],
    },
  ],
  "other-root": [
    {
      of: "own",
      break: ({ resource }) => {
        const host = resource(...HOST);
        const [root = "", infrastructure = ""] = certificatesIn(resource(...REGISTRY));
        host.user_data = String(host.user_data).replace(root, infrastructure);
      },
      found: ["restricted aws_instance.web-1: pins another root"],
    },
  ],
  "other-first-boot": [
    {
      of: "own",
      break: ({ resource }) => {
        const registry = resource(...REGISTRY);
        const [, , device = ""] = certificatesIn(registry);
        registry.user_data = String(registry.user_data).replace(device, "a CA of Eve's");
      },
      found: ["registry aws_instance.registry: does something else in line 226: a CA of Eve's"],
    },
  ],
};
