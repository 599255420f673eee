import type { AwsSettings } from "../form.ts";
import type { Json, Resource } from "../synthesis.ts";
import { ref } from "./cast/member.ts";
import { isPrivateCa, issuing } from "./cast/private-ca.ts";

/** What a policy may say: no other principal, no other condition, no further action, no further resource. */
export interface Grant {
  readonly effect?: "Allow" | "Deny";
  readonly principal?: Json;
  readonly actions: readonly string[];
  readonly resources?: readonly string[];
  readonly condition?: Json;
}

const ACCOUNT = ref("account");
const BUCKET = ref("registry aws_s3_bucket.bucket.arn");
const BUCKET_KEY = ref("registry aws_kms_key.bucket-key.arn");
const EVERYTHING = ["*"];
const ofService = (name: string): Json => ({ Service: `${name}.amazonaws.com` });
const forUs: Json = { StringEquals: { "aws:SourceAccount": ACCOUNT } };
const ours: Json = { StringEquals: { "aws:PrincipalAccount": ACCOUNT, "aws:ResourceAccount": ACCOUNT } };
const SESSION = [
  "ssm:UpdateInstanceInformation",
  "ssmmessages:CreateControlChannel",
  "ssmmessages:CreateDataChannel",
  "ssmmessages:OpenControlChannel",
  "ssmmessages:OpenDataChannel",
];

/** What a registry asks of the private CA that is its device CA; the last two while it has the root's key. */
const PRIVATE_CA = {
  always: [
    "acm-pca:DescribeCertificateAuthority",
    "acm-pca:GetCertificateAuthorityCertificate",
    "acm-pca:GetCertificate",
    "acm-pca:RevokeCertificate",
  ],
  issue: ["acm-pca:IssueCertificate"],
  withRoot: ["acm-pca:GetCertificateAuthorityCsr", "acm-pca:ImportCertificateAuthorityCertificate"],
} as const;

/** The account's IAM policies decide who uses a key: AWS's default. */
const owner: Grant = { principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, actions: ["kms:*"], resources: EVERYTHING };

/** Every instance: packages, the bucket's key, Session Manager, whose actions know no resources. */
const machine: readonly Grant[] = [
  { actions: ["s3:GetObject"], resources: [`${BUCKET}/packages/*`] },
  { actions: ["kms:Decrypt", "kms:GenerateDataKey"], resources: [BUCKET_KEY] },
  { actions: SESSION, resources: EVERYTHING },
];

/** What is for that very instance, not for another one with its role. */
const isInstance = (part: string, name: string) => ({
  StringEquals: { "aws:userid": `${ref(`${part} aws_iam_role.${name}-role.unique_id`)}:${ref(`${part} aws_instance.${name}.id`)}` },
});

/** A host has its own folder, asks for certificates in it, and writes none. */
function host(name: string): readonly Grant[] {
  const folder = `${BUCKET}/hosts/${name}/${ref(`restricted aws_instance.${name}.id`)}`;
  const condition = isInstance("restricted", name);
  return [
    { actions: ["s3:GetObject"], resources: [`${folder}/agent.crt`, `${folder}/service.crt`], condition },
    { actions: ["s3:PutObject"], resources: [`${folder}/agent.csr`, `${folder}/service.csr`], condition },
  ];
}

const LISTS = ref("pki aws_s3_bucket.lists.arn");

/** The device CA in AWS Private CA: certificates of one template, and its own while the root is at hand. */
function privateCa(settings: AwsSettings, condition: Readonly<Record<"StringEquals", Readonly<Record<string, Json>>>>): readonly Grant[] {
  if (!isPrivateCa(settings)) return [];
  const resources = [ref("pki aws_acmpca_certificate_authority.device-ca.arn")];
  const { always, issue, withRoot } = PRIVATE_CA;
  const template = { "acm-pca:TemplateArn": "arn:aws:acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1" };
  const root = settings.pki.kind === "tls" && settings.pki.rootAtHand;
  return [
    { actions: [...always, ...(root ? withRoot : [])], resources, condition },
    { actions: issue, resources, condition: { StringEquals: { ...template, ...condition.StringEquals } } },
    { actions: ["s3:GetObject"], resources: [`${LISTS}/crl/*`], condition },
    { actions: ["s3:ListBucket"], resources: [LISTS], condition },
  ];
}

function registry(settings: AwsSettings): readonly Grant[] {
  const { pki } = settings;
  const condition = isInstance("registry", "registry");
  const names = [...(pki.kind !== "own" && pki.rootAtHand ? ["root"] : []), ...issuing(settings)];
  const folder = `${BUCKET}/hosts/*`;
  return [
    pki.kind === "kms"
      ? { actions: ["kms:GetPublicKey", "kms:Sign"], resources: names.map((name) => ref(`pki aws_kms_key.${name}-key.arn`)), condition }
      : {
          actions: ["secretsmanager:GetSecretValue"],
          resources: names.map((name) => ref(`pki aws_secretsmanager_secret.${name}-secret.arn`)),
          condition,
        },
    { actions: ["s3:GetObject"], resources: [`${folder}/agent.csr`, `${folder}/service.csr`], condition },
    { actions: ["s3:PutObject"], resources: [`${folder}/agent.crt`, `${folder}/service.crt`], condition },
    ...privateCa(settings, condition),
  ];
}

/** The secrets' key is of use for the secrets alone, which the instance's own policy names. */
const withKeys = (settings: AwsSettings): readonly Grant[] => [
  ...machine,
  ...["pki-key", "lists-key"]
    .filter((name) => (name === "pki-key" ? settings.pki.kind !== "kms" : isPrivateCa(settings)))
    .map((name) => ({ actions: ["kms:Decrypt"], resources: [ref(`pki aws_kms_key.${name}.arn`)] })),
];

function snapshots({ region }: AwsSettings): readonly Grant[] {
  const snapshot = `arn:aws:ec2:${region}::snapshot/*`;
  return [
    { actions: ["ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeSnapshots"], resources: EVERYTHING },
    { actions: ["ec2:CreateSnapshot"], resources: [`arn:aws:ec2:${region}:${ACCOUNT}:volume/*`, snapshot] },
    { actions: ["ec2:DeleteSnapshot"], resources: [snapshot], condition: { StringEquals: { "aws:ResourceAccount": ACCOUNT } } },
    { actions: ["ec2:CreateTags"], resources: [snapshot] },
  ];
}

const flows = ({ region, environment }: AwsSettings): string =>
  `arn:aws:logs:${region}:${ACCOUNT}:log-group:/entityos-gate/${environment}/flows`;

/** CloudWatch's logs encrypt with a key for one group of logs. */
const logsKey = (settings: AwsSettings): Grant => ({
  principal: ofService(`logs.${settings.region}`),
  actions: [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:DescribeKey",
  ],
  resources: EVERYTHING,
  condition: { ArnEquals: { "kms:EncryptionContext:aws:logs:arn": flows(settings) } },
});

/** AWS Private CA encrypts what it writes into a bucket of ours, and nothing else. */
const listsKey = ({ environment }: AwsSettings): Grant => ({
  principal: ofService("acm-pca"),
  actions: ["kms:GenerateDataKey", "kms:Decrypt"],
  resources: EVERYTHING,
  condition: {
    StringLike: {
      "kms:EncryptionContext:aws:s3:arn": ["acm-pca-permission-test-key", "acm-pca-permission-test-key-private", "crl/*"].map(
        (name) => `arn:aws:s3:::${environment}-entityos-gate-*/${name}`,
      ),
    },
  },
});

/** An endpoint lets pass who is of this account, to what is of this account; Session Manager knows nothing that is of one. */
function endpoint(settings: AwsSettings, name: string): readonly Grant[] {
  const { environment } = settings;
  const byAccount: Json = { StringEquals: { "aws:PrincipalAccount": ACCOUNT } };
  const everyone = { principal: "*", resources: EVERYTHING } as const;
  switch (name) {
    case "s3":
      return [
        {
          principal: "*",
          actions: ["s3:GetObject", "s3:PutObject"],
          resources: [`arn:aws:s3:::${environment}-entityos-gate-*/*`],
          condition: ours,
        },
        ...(isPrivateCa(settings)
          ? [{ principal: "*", actions: ["s3:ListBucket"], resources: [`arn:aws:s3:::${environment}-entityos-gate-*`], condition: ours }]
          : []),
      ];
    case "acm-pca":
      return [{ ...everyone, actions: Object.values(PRIVATE_CA).flat(), condition: ours }];
    case "kms":
      return [{ ...everyone, actions: ["kms:GetPublicKey", "kms:Sign"], condition: ours }];
    case "secretsmanager":
      return [{ ...everyone, actions: ["secretsmanager:GetSecretValue"], condition: ours }];
    default:
      return [{ ...everyone, actions: SESSION.filter((action) => action.startsWith(`${name}:`)), condition: byAccount }];
  }
}

function rolePolicy(settings: AwsSettings, part: string, name: string): readonly Grant[] {
  switch (part) {
    case "network":
      return [{ actions: ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"], resources: [`${flows(settings)}:*`] }];
    case "restricted":
      return name.endsWith("-own") ? host(name.replace(/-own$/, "")) : machine;
    case "registry":
      if (name === "snapshots") return snapshots(settings);
      return name === "registry-own" ? registry(settings) : withKeys(settings);
    default:
      return [];
  }
}

const take = (service: string, condition?: Json): Grant => ({
  principal: ofService(service),
  actions: ["sts:AssumeRole"],
  ...(condition === undefined ? {} : { condition }),
});

const tlsAlone = (bucket: string): Grant => ({
  effect: "Deny",
  principal: "*",
  actions: ["s3:*"],
  resources: [bucket, `${bucket}/*`],
  condition: { Bool: { "aws:SecureTransport": "false" } },
});
const writesLists: Grant = {
  principal: ofService("acm-pca"),
  actions: ["s3:PutObject", "s3:PutObjectAcl", "s3:GetBucketAcl", "s3:GetBucketLocation"],
  resources: [LISTS, `${LISTS}/*`],
  condition: forUs,
};

/** All that a resource's policy may say; nothing for whom no policy is on the list. */
export function grantsFor(
  settings: AwsSettings,
  { part, type, id }: Pick<Resource, "part" | "type" | "id">,
  field: string,
): readonly Grant[] {
  const name = id.replace(/-(role|policy)$/, "");
  switch (`${type} ${field}`) {
    case "aws_iam_role assume_role_policy":
      if (name === "flows") return [take("vpc-flow-logs", forUs)];
      return name === "snapshots" && part === "registry" ? [take("dlm", forUs)] : [take("ec2")];
    case "aws_iam_role_policy policy":
      return rolePolicy(settings, part, name);
    case "aws_kms_key policy":
      if (id === "flows-key") return [owner, logsKey(settings)];
      if (id === "lists-key") return [owner, listsKey(settings)];
      if (id !== "alarms-key") return [owner];
      return [
        owner,
        { principal: ofService("cloudwatch"), actions: ["kms:Decrypt", "kms:GenerateDataKey"], resources: EVERYTHING, condition: forUs },
      ];
    case "aws_vpc_endpoint policy":
      return endpoint(settings, id.replace("endpoint-", ""));
    case "aws_s3_bucket_policy policy":
      return id === "lists-policy" ? [tlsAlone(LISTS), writesLists] : [tlsAlone(BUCKET)];
    case "aws_sns_topic_policy policy":
      return [
        {
          principal: ofService("cloudwatch"),
          actions: ["sns:Publish"],
          resources: [ref("alarms aws_sns_topic.topic.arn")],
          condition: forUs,
        },
      ];
    default:
      return [];
  }
}
