import type { Ec2SubnetCidrReservation } from "@cdktf/provider-aws/lib/ec2-subnet-cidr-reservation/index.js";
import type { RouteTable } from "@cdktf/provider-aws/lib/route-table/index.js";
import type { SecurityGroup } from "@cdktf/provider-aws/lib/security-group/index.js";
import type { Subnet } from "@cdktf/provider-aws/lib/subnet/index.js";
import type { Vpc } from "@cdktf/provider-aws/lib/vpc/index.js";
import { VpcEndpoint } from "@cdktf/provider-aws/lib/vpc-endpoint/index.js";
import type { ENDPOINTS } from "./form.ts";
import { type AwsStack, policy } from "./stack.ts";

/** What hosts ask of each service; Session Manager knows no resources for its own. */
export const SESSION_ACTIONS = {
  ssm: ["ssm:UpdateInstanceInformation"],
  ssmmessages: [
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
  ],
} as const;
/** What a registry asks of the private CA that is its device CA. */
export const PRIVATE_CA_ACTIONS = {
  /** What a revocation and the look at a certificate take. */
  always: [
    "acm-pca:DescribeCertificateAuthority",
    "acm-pca:GetCertificateAuthorityCertificate",
    "acm-pca:GetCertificate",
    "acm-pca:RevokeCertificate",
  ],
  issue: ["acm-pca:IssueCertificate"],
  /** What the CA's own certificate takes, which the root's key signs. */
  withRoot: ["acm-pca:GetCertificateAuthorityCsr", "acm-pca:ImportCertificateAuthorityCertificate"],
} as const;
const ENDPOINT_ACTIONS = {
  ...SESSION_ACTIONS,
  "acm-pca": Object.values(PRIVATE_CA_ACTIONS).flat(),
  kms: ["kms:GetPublicKey", "kms:Sign"],
  secretsmanager: ["secretsmanager:GetSecretValue"],
} as const;

interface Places {
  readonly vpc: Vpc;
  readonly tables: readonly RouteTable[];
  readonly subnets: readonly Subnet[];
  readonly group: SecurityGroup | undefined;
  /** Made before any endpoint takes an address. */
  readonly after: readonly Ec2SubnetCidrReservation[];
  readonly names: readonly (typeof ENDPOINTS)[number][];
}

/** How the bucket of packages begins, so that the endpoint can let nothing else of S3 pass. */
export const bucketPrefix = (stack: AwsStack): string => stack.named("entityos-gate-");

/**
 * AWS's services without the outside: S3 for the packages' bucket alone, and those that the settings name. Nothing passes that is not
 * of this account on both sides, so that no data leaves to somebody else's bucket or key; Session Manager's channels are of nobody.
 */
export function writeEndpoints(stack: AwsStack, { vpc, tables, subnets, group, names, after }: Places): void {
  const service = (name: string) => `com.amazonaws.${stack.settings.region}.${name}`;
  const { pki } = stack.settings;
  const byUs = { "aws:PrincipalAccount": stack.account };
  const toOurs = { ...byUs, "aws:ResourceAccount": stack.account };
  const bucket = `arn:aws:s3:::${bucketPrefix(stack)}*`;
  new VpcEndpoint(stack, "endpoint-s3", {
    vpcId: vpc.id,
    serviceName: service("s3"),
    vpcEndpointType: "Gateway",
    routeTableIds: tables.map(({ id }) => id),
    policy: policy([
      {
        Sid: "Packages",
        Effect: "Allow",
        Principal: "*",
        Action: ["s3:GetObject", "s3:PutObject"],
        Resource: `${bucket}/*`,
        Condition: { StringEquals: toOurs },
      },
      ...(pki.kind === "tls" && pki.deviceCa === "acmPca"
        ? [
            {
              Sid: "Lists",
              Effect: "Allow",
              Principal: "*",
              Action: ["s3:ListBucket"],
              Resource: bucket,
              Condition: { StringEquals: toOurs },
            } as const,
          ]
        : []),
    ]),
    tags: { Name: stack.named("s3") },
  });
  if (group === undefined) return;
  for (const name of names) {
    new VpcEndpoint(stack, `endpoint-${name}`, {
      vpcId: vpc.id,
      serviceName: service(name),
      vpcEndpointType: "Interface",
      privateDnsEnabled: true,
      dependsOn: [...after],
      subnetIds: subnets.map(({ id }) => id),
      securityGroupIds: [group.id],
      policy: policy([
        {
          Sid: "Account",
          Effect: "Allow",
          Principal: "*",
          Action: ENDPOINT_ACTIONS[name],
          Resource: "*",
          Condition: { StringEquals: name in SESSION_ACTIONS ? byUs : toOurs },
        },
      ]),
      tags: { Name: stack.named(name) },
    });
  }
}
