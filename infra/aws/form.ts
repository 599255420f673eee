import { z } from "zod";
import { cidrSchema } from "../../lib/config.ts";
import { caSchema } from "./certificates.ts";
import { regionProblem } from "./regions.ts";

/** Lower-case words, joined by one hyphen each. */
const wordsSchema = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, "a name is lower-case letters and digits, with single hyphens between them");
const regionSchema = z.string().superRefine((region, context) => {
  const message = regionProblem(region);
  if (message !== null) context.addIssue({ code: "custom", message });
});
const bucketSchema = z
  .string()
  .regex(/^(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "a bucket's name is 3 to 63 lower-case letters, digits, single dots and hyphens");
const domainSchema = z
  .string()
  .regex(/^(?=.{4,200}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/, "a domain is written like gate.example");
const IMAGES = "an image is 12 or 13, of Debian, or this very one: ami-0123456789abcdef0";
const imageSchema = z.union([z.literal([12, 13]), z.string().regex(/^ami-[0-9a-f]{8,17}$/, IMAGES)], IMAGES);
const fileSchema = z.string().regex(/^[\w.+/-]{1,200}$/, "a file's path has letters, digits, dots, slashes, plus signs and hyphens");
const packageSchema = z
  .string()
  .regex(/^[a-z0-9][\w.+-]{0,195}\.deb$/, "a package is the name of a file, like amazon-ssm-agent_arm64.deb, without a folder");
const keySchema = z.string().regex(/^arn:aws:kms:[a-z0-9-]+:\d{12}:(key|alias)\/[\w/-]+$/, "a key is named by its ARN");

const zoneSchema = z.strictObject({
  /** Availability zone: "eu-central-1a". */
  name: z.string().min(1),
  /** Load balancers and NAT gateways stand here. */
  open: cidrSchema,
  /** Hosts and the registry stand here, without an address of the outside. */
  restricted: cidrSchema,
});

/** Interface endpoints that the hosts use; S3's gateway endpoint is always there. */
export const ENDPOINTS = ["acm-pca", "kms", "secretsmanager", "ssm", "ssmmessages"] as const;

/** One environment on AWS, YAML. Reference: infra/environments/production.yaml. */
export const formSchema = z.strictObject({
  environment: wordsSchema(15),
  region: regionSchema,
  /** Terraform's state holds the CAs' keys where `pki.kind` is tls: an S3 bucket that encrypts with this key, and nothing else. */
  state: z.strictObject({ bucket: bucketSchema, region: regionSchema, kmsKey: keySchema }),
  /** The service behind the gate. register and control are names below it. */
  domain: domainSchema,
  /** Route 53's public zone that the names are written to. */
  hostedZone: z.string().regex(/^Z[A-Z0-9]{5,31}$/, "a hosted zone is named by its id, like Z0123456789ABCDEFGHIJ"),
  network: z.strictObject({
    /** IPv4 network of the whole, /16 to /24; its IPv6 network is assigned by AWS. */
    cidr: cidrSchema,
    zones: z.array(zoneSchema).min(1).max(6),
    /** NAT gateways: one for all zones, or one in each, so that a zone's end takes nothing from the others. */
    nat: z.enum(["one", "per-zone"]).default("one"),
    endpoints: z.array(z.enum(ENDPOINTS)).default([]),
    flowLogDays: z.literal([30, 60, 90, 180, 365, 731, 1096]).default(90),
  }),
  pki: z.discriminatedUnion("kind", [
    /** Root, infrastructure CA and device CA are made by Terraform's tls provider; their keys are in the state and in Secrets Manager. */
    z.strictObject({
      kind: z.literal("tls"),
      organization: z.string().regex(/^[\w .&-]{1,64}$/, "an organization is 1 to 64 letters, digits, spaces and . & -"),
      /** The registry's host may read the root's key: at the first boot, for the root's yearly list, for a rotation; no longer. */
      rootAtHand: z.boolean().default(false),
      /** The device CA: a key as the other two have, or a subordinate CA of AWS Private CA, which costs by the month and by the certificate. */
      deviceCa: z.enum(["key", "acmPca"]).default("key"),
    }),
    /**
     * Keys in KMS, where nobody copies them; the registry's init has the certificates signed there. Hosts need the root that it made:
     * until it is named here, there is no stack of hosts.
     */
    z.strictObject({ kind: z.literal("kms"), root: caSchema.optional(), rootAtHand: z.boolean().default(false) }),
    /** Certificates from elsewhere; an operator puts the two keys into the secrets that are made for them. */
    z.strictObject({ kind: z.literal("own"), root: caSchema, infrastructure: caSchema, device: caSchema }),
  ]),
  architecture: z.enum(["amd64", "arm64"]).default("arm64"),
  /** Debian 12 or 13, the newest image of Debian's own account when an instance is made; or this very image. */
  image: imageSchema.default(13),
  packages: z.strictObject({
    /** Folder that npm run package wrote to, from the folder of the process. */
    folder: fileSchema.default("dist"),
    /** Of the project's packages, where it is another than this version's. */
    version: z
      .string()
      .regex(/^[0-9][\w.+]{0,40}$/, "a version is written like 0.1.0 or 0.1.0+build1")
      .optional(),
    /** Packages that are no part of the project, from the same folder: the SSM agent, without which nobody comes in. */
    more: z.array(packageSchema).min(1).max(8),
  }),
  registry: z.strictObject({
    instanceType: z.string(),
    replicas: z.int().min(1).max(6).default(1),
    /** Zone by its name, the first one by default; its volume stays there. */
    zone: z.string().optional(),
    volumeGb: z.int().min(8).max(16_384).default(20),
    snapshots: z
      .strictObject({ everyHours: z.literal([1, 2, 3, 4, 6, 8, 12, 24]).default(6), keep: z.int().min(2).max(1_000).default(28) })
      .prefault({}),
    /** PostgreSQL, for more replicas than one. */
    database: z
      .strictObject({
        instanceClass: z.string().regex(/^db\.[a-z0-9]+\.[a-z0-9]+$/, "a class is written like db.t4g.small"),
        storageGb: z.int().min(20).max(65_536),
      })
      .optional(),
  }),
  restricted: z.strictObject({
    instanceType: z.string(),
    hosts: z
      .array(
        z.strictObject({
          name: wordsSchema(31),
          zone: z.string(),
        }),
      )
      .min(1)
      .max(50),
    diskGb: z.int().min(8).max(16_384).default(20),
    /** Who reaches the gate at all: everyone, because anyone's address may be registered; or named networks. The gate decides then. */
    admit: z.union([z.literal("everyone"), z.array(cidrSchema).min(1).max(50)], "it is everyone, or a list of networks"),
    lanes: z
      .strictObject({ ip: z.boolean().default(true), ipcert: z.boolean().default(false), roaming: z.boolean().default(false) })
      .prefault({}),
  }),
  /** Load balancers, instances and the database cannot be deleted; what the registry and the CAs keep, not even by Terraform. */
  protection: z.boolean(),
  alarms: z.strictObject({ email: z.email() }),
});

export type AwsSettings = z.output<typeof formSchema>;
