import { DataAwsAmi } from "@cdktf/provider-aws/lib/data-aws-ami/index.js";
import { IamInstanceProfile } from "@cdktf/provider-aws/lib/iam-instance-profile/index.js";
import { IamRole } from "@cdktf/provider-aws/lib/iam-role/index.js";
import { IamRolePolicy } from "@cdktf/provider-aws/lib/iam-role-policy/index.js";
import { Instance } from "@cdktf/provider-aws/lib/instance/index.js";
import type { KmsKey } from "@cdktf/provider-aws/lib/kms-key/index.js";
import type { S3Bucket } from "@cdktf/provider-aws/lib/s3-bucket/index.js";
import type { SecurityGroup } from "@cdktf/provider-aws/lib/security-group/index.js";
import type { Subnet } from "@cdktf/provider-aws/lib/subnet/index.js";
import { SESSION_ACTIONS } from "./endpoints.ts";
import type { AwsSettings } from "./form.ts";
import { type AwsStack, policy, type Statement, trust } from "./stack.ts";

/** Debian's own account (https://wiki.debian.org/Cloud/AmazonEC2Image). */
const DEBIAN = "136693071363";

/** The image that instances are made from. */
export function imageId(stack: AwsStack, { image, architecture }: Pick<AwsSettings, "image" | "architecture">): string {
  if (typeof image === "string") return image;
  const name = `debian-${image}-${architecture}-*`;
  return new DataAwsAmi(stack, "debian", {
    owners: [DEBIAN],
    mostRecent: true,
    filter: [
      { name: "name", values: [name] },
      { name: "state", values: ["available"] },
    ],
  }).id;
}

export interface HostWish {
  readonly name: string;
  readonly image: string;
  readonly instanceType: string;
  readonly subnet: Subnet;
  readonly group: SecurityGroup;
  /** Of its disk. */
  readonly key: KmsKey;
  readonly bucket: S3Bucket;
  readonly bucketKey: KmsKey;
  readonly diskGb: number;
  readonly userData: string;
  /** What its role may do beside packages and Session Manager. */
  readonly statements: readonly Statement[];
  /** What of its role is for this very instance: not for another one that is started with the role, by hand or by a group. */
  readonly own: (instance: Instance) => readonly Statement[];
  readonly privateIp?: string;
  readonly ipv6: boolean;
}

/**
 * One machine with a role of its own: encrypted disk, metadata by token alone, no SSH key, no address of the outside. A new image or
 * other user data change no machine that runs: it is made anew when an operator says so (terraform apply -replace).
 */
export function writeHost(stack: AwsStack, wish: HostWish): Instance {
  const { name, bucket, bucketKey, key, subnet, group } = wish;
  const role = new IamRole(stack, `${name}-role`, {
    name: stack.named(name),
    assumeRolePolicy: trust("ec2.amazonaws.com", stack.account),
  });
  new IamRolePolicy(stack, `${name}-policy`, {
    name: "host",
    role: role.id,
    policy: policy([...common(bucket, bucketKey), ...wish.statements]),
  });
  const profile = new IamInstanceProfile(stack, `${name}-profile`, { name: stack.named(name), role: role.name });
  const instance = new Instance(stack, name, {
    ami: wish.image,
    instanceType: wish.instanceType,
    subnetId: subnet.id,
    vpcSecurityGroupIds: [group.id],
    iamInstanceProfile: profile.name,
    associatePublicIpAddress: false,
    ...(wish.privateIp === undefined ? {} : { privateIp: wish.privateIp }),
    ...(wish.ipv6 ? { ipv6AddressCount: 1 } : {}),
    userData: wish.userData,
    metadataOptions: { httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1, instanceMetadataTags: "disabled" },
    rootBlockDevice: { encrypted: true, kmsKeyId: key.arn, volumeType: "gp3", volumeSize: wish.diskGb },
    disableApiTermination: stack.settings.protection,
    monitoring: true,
    tags: { Name: stack.named(name) },
  });
  instance.lifecycle = { ignoreChanges: ["ami", "user_data"] };
  // Written when the instance is known: its first boot tries until then.
  new IamRolePolicy(stack, `${name}-own-policy`, {
    name: "own",
    role: role.id,
    policy: policy(wish.own(instance).map((statement) => isInstance(statement, role, instance))),
  });
  return instance;
}

/** "ROLE:INSTANCE" is who an instance is to IAM, in every request: EC2 names the session of its role by it. */
function isInstance(statement: Statement, { uniqueId }: IamRole, { id }: Instance): Statement {
  const { StringEquals, ...more } = statement.Condition ?? {};
  return { ...statement, Condition: { ...more, StringEquals: { ...StringEquals, "aws:userid": `${uniqueId}:${id}` } } };
}

const common = (bucket: S3Bucket, key: KmsKey): readonly Statement[] => [
  { Sid: "Packages", Effect: "Allow", Action: ["s3:GetObject"], Resource: `${bucket.arn}/packages/*` },
  { Sid: "Bucket", Effect: "Allow", Action: ["kms:Decrypt", "kms:GenerateDataKey"], Resource: key.arn },
  // Session Manager's actions know no resources.
  { Sid: "Session", Effect: "Allow", Action: [...SESSION_ACTIONS.ssm, ...SESSION_ACTIONS.ssmmessages], Resource: "*" },
];
