import { addStatement, DATABASE, HOST, inside, type Mutation, ref } from "./mutation.ts";

/** Slips about who may do what with what is kept, by the name of their rule. */
export const ACCESS: Readonly<Record<string, readonly Mutation[]>> = {
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
