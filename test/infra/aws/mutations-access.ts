import { addStatement, DATABASE, HOST, inside, type Mutation, ref } from "./mutation.ts";
import type { Open } from "./synthesised.ts";

/** Slips about who may do what with what is kept, by the name of their rule. */
export const ACCESS: Readonly<Record<string, readonly Mutation[]>> = {
  "opaque-policy": [
    {
      break: ({ resource }) => {
        resource("restricted", "aws_iam_role_policy", "web-1-policy").policy = ref("jsonencode({})");
        resource("registry", "aws_iam_role_policy", "registry-policy").policy = ref("data.aws_iam_policy_document.slip.json");
        resource("network", "aws_iam_role", "flows-role").assume_role_policy = '{"Version":"2008-10-17","Statement":[]}';
        resource("pki", "aws_kms_key", "pki-key").policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow"}]}';
        addStatement(resource("registry", "aws_kms_key", "key"), { Effect: "Allow", NotAction: "kms:Decrypt", Resource: "*" });
        resource("alarms", "aws_sns_topic_policy", "topic-policy").policy = { Version: "2012-10-17" };
      },
      found: [
        "restricted aws_iam_role_policy.web-1-policy: policy is not written out as JSON",
        "registry aws_iam_role_policy.registry-policy: policy is not written out as JSON",
        "network aws_iam_role.flows-role: assume_role_policy is not of version 2012-10-17 alone",
        "pki aws_kms_key.pki-key: policy is written in another form than its own",
        "registry aws_kms_key.key: policy says NotAction",
        "alarms aws_sns_topic_policy.topic-policy: policy is no text",
      ],
    },
  ],
  "not-granted": [
    {
      break: ({ resource }) => {
        const host = resource("restricted", "aws_iam_role_policy", "web-1-policy");
        addStatement(host, { Effect: "Allow", Action: ["s3:*"], Resource: "arn:aws:s3:::x" });
        addStatement(host, { Effect: "Allow", Action: "kms:Decrypt", Resource: "*" });
        addStatement(host, { Effect: "Allow", Action: "s3:GetObject", Resource: "arn:aws:s3:::production-entityos-gate-*/packages/*" });
        addStatement(host, { Effect: "Allow", Action: "iam:PassRole", Resource: ref("aws_iam_role.web-1-role.arn") });
      },
      found: [
        "allows s3:* on arn:aws:s3:::x",
        "allows kms:Decrypt on *",
        "allows s3:GetObject on arn:aws:s3:::production-entityos-gate-*/packages/*",
        `allows iam:PassRole on ${ref("restricted aws_iam_role.web-1-role.arn")}`,
      ].map((what) => `restricted aws_iam_role_policy.web-1-policy: ${what}`),
    },
    {
      break: ({ resource }) => {
        const anyone = { Effect: "Allow", Action: ["s3:GetObject"], Resource: "arn:aws:s3:::x/packages/a" };
        const bucket = resource("registry", "aws_s3_bucket_policy", "bucket-policy");
        addStatement(bucket, { ...anyone, Principal: { AWS: "*" } });
        addStatement(bucket, { ...anyone, Principal: "*", Condition: { StringLike: { "aws:PrincipalAccount": "*" } } });
        addStatement(bucket, { ...anyone, Principal: { AWS: "arn:aws:iam::999988887777:root" } });
      },
      found: ['to {"AWS":"*"}', 'to "*" if {"StringLike":{"aws:PrincipalAccount":"*"}}', 'to {"AWS":"arn:aws:iam::999988887777:root"}'].map(
        (who) => `registry aws_s3_bucket_policy.bucket-policy: allows s3:GetObject on arn:aws:s3:::x/packages/a ${who}`,
      ),
    },
    {
      break: ({ resource }) => {
        const withoutCondition = (open: Open, field: string): void => {
          const { Version, Statement } = JSON.parse(String(open[field])) as { Version: string; Statement: { Condition?: unknown }[] };
          open[field] = JSON.stringify({ Version, Statement: Statement.map(({ Condition: _, ...rest }) => rest) });
        };
        withoutCondition(resource("network", "aws_iam_role", "flows-role"), "assume_role_policy");
        withoutCondition(resource("network", "aws_vpc_endpoint", "endpoint-secretsmanager"), "policy");
        withoutCondition(resource("alarms", "aws_kms_key", "alarms-key"), "policy");
        const s3 = resource("network", "aws_vpc_endpoint", "endpoint-s3");
        s3.policy = String(s3.policy).replace(/,"aws:ResourceAccount":"[^"]*"/, "");
      },
      found: [
        'network aws_iam_role.flows-role: allows sts:AssumeRole to {"Service":"vpc-flow-logs.amazonaws.com"}',
        'network aws_vpc_endpoint.endpoint-secretsmanager: allows secretsmanager:GetSecretValue on * to "*"',
        'alarms aws_kms_key.alarms-key: allows kms:Decrypt, kms:GenerateDataKey on * to {"Service":"cloudwatch.amazonaws.com"}',
        `network aws_vpc_endpoint.endpoint-s3: allows s3:GetObject, s3:PutObject on arn:aws:s3:::production-entityos-gate-*/* to "*" if {"StringEquals":{"aws:PrincipalAccount":"${ref("account")}"}}`,
      ],
    },
    {
      break: ({ resource }) => {
        addStatement(resource("pki", "aws_kms_key", "pki-key"), {
          Effect: "Allow",
          Principal: { AWS: "arn:aws:iam::999988887777:root" },
          Action: ["kms:Decrypt"],
          Resource: "*",
        });
        addStatement(
          resource("registry", "aws_iam_role", "registry-role"),
          {
            Effect: "Allow",
            Principal: { Federated: "accounts.google.com" },
            Action: ["sts:AssumeRoleWithWebIdentity"],
          },
          "assume_role_policy",
        );
        addStatement(resource("registry", "aws_kms_key", "bucket-key"), {
          Effect: "Deny",
          Principal: "*",
          Action: ["kms:Decrypt"],
          Resource: "*",
        });
      },
      found: [
        'pki aws_kms_key.pki-key: allows kms:Decrypt on * to {"AWS":"arn:aws:iam::999988887777:root"}',
        'registry aws_iam_role.registry-role: allows sts:AssumeRoleWithWebIdentity to {"Federated":"accounts.google.com"}',
        'registry aws_kms_key.bucket-key: denies kms:Decrypt on * to "*"',
      ],
    },
    {
      break: ({ resource }) => {
        const own = resource("restricted", "aws_iam_role_policy", "web-1-own-policy");
        own.policy = String(own.policy).replaceAll(ref("aws_instance.web-1.id"), "*");
      },
      found: ["GetObject agent.crt service.crt", "PutObject agent.csr service.csr"].map((said) => {
        const [action, ...files] = said.split(" ");
        const folder = `${ref("registry aws_s3_bucket.bucket.arn")}/hosts/web-1/*`;
        const who = `${ref("restricted aws_iam_role.web-1-role.unique_id")}:*`;
        return `restricted aws_iam_role_policy.web-1-own-policy: allows s3:${action} on ${files.map((file) => `${folder}/${file}`).join(", ")} if {"StringEquals":{"aws:userid":"${who}"}}`;
      }),
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
        const role = resource("restricted", "aws_iam_role_policy", "web-1-own-policy");
        role.policy = String(role.policy).replaceAll("/hosts/web-1/", "/hosts/");
      },
      found: [`restricted aws_iam_role_policy.web-1-own-policy: reaches /hosts/${ref("aws_instance.web-1.id")}/agent.crt`],
    },
    {
      break: ({ resource }) => {
        const role = resource("restricted", "aws_iam_role_policy", "web-1-own-policy");
        role.policy = String(role.policy).replace("agent.csr", "agent.crt");
      },
      found: ["restricted aws_iam_role_policy.web-1-own-policy: writes more than requests"],
    },
    {
      break: ({ resource }) => {
        const role = resource("restricted", "aws_iam_role_policy", "web-1-own-policy");
        role.policy = String(role.policy).replace(`:${ref("aws_instance.web-1.id")}"`, ':*"');
      },
      found: ["restricted aws_iam_role_policy.web-1-own-policy: is for every instance that has the role"],
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
};
