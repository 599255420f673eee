import { z } from "zod";
import { cidrSchema, loadConfig, parseConfig, portSchema } from "../lib/config.ts";
import { FEED } from "../lib/feed/limits.ts";
import { PATH, PORT } from "../lib/service.ts";

/** A key of AWS KMS by its own ARN: an alias could be pointed at another key. */
const kmsKeySchema = z
  .string()
  .regex(/^arn:aws(-[a-z]{2,8}){0,2}:kms:[a-z]{2}(-[a-z]+)+-\d:\d{12}:key\/[A-Za-z0-9-]{1,64}$/, "not the ARN of a KMS key (…:key/…)");
/** Keys of one role, in the order that rotations take them. */
const kmsKeysSchema = z.array(kmsKeySchema).max(16);

/** Another endpoint of a service than its region's public one. */
const endpointSchema = z
  .url({ protocol: /^https?$/, abort: true })
  .refine((text) => new URL(text).pathname === "/" && new URL(text).search === "", "an endpoint has neither path nor query")
  .nullable()
  .default(null);

const pcaSchema = z
  .string()
  .regex(
    /^arn:aws(-[a-z]{2,8}){0,2}:acm-pca:[a-z]{2}(-[a-z]+)+-\d:\d{12}:certificate-authority\/[0-9a-f-]{36}$/,
    "not the ARN of a private CA (…:certificate-authority/…)",
  );
/** Where a private CA writes its list: an object of its bucket. */
const listSchema = z
  .url({ protocol: /^https?$/, abort: true })
  .refine((text) => /\.crl$/.test(new URL(text).pathname) && new URL(text).search === "", "not the URL of a list (….crl)");

/** Where the CAs' keys are and sign. */
const signerSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("file") }),
  z
    .strictObject({
      kind: z.literal("kms"),
      root: kmsKeysSchema.default([]),
      infrastructure: kmsKeysSchema.default([]),
      device: kmsKeysSchema.default([]),
      endpoint: endpointSchema,
    })
    .superRefine(({ root, infrastructure, device }, context) => {
      const all = [...root, ...infrastructure, ...device];
      if (all.length === 0) context.addIssue({ code: "custom", path: ["device"], message: "kms needs the ARN of one key at least" });
      if (new Set(all).size < all.length)
        context.addIssue({ code: "custom", message: "a key is named twice: every CA has one of its own" });
    }),
  z.strictObject({
    kind: z.literal("acmPca"),
    /** Subordinate CAs of AWS Private CA that are the device CA, in the order that rotations take them. */
    authorities: z
      .array(z.strictObject({ arn: pcaSchema, list: listSchema }))
      .min(1)
      .max(16)
      .refine((all) => new Set(all.map(({ arn }) => arn)).size === all.length, "a CA is named twice"),
    endpoint: endpointSchema,
  }),
]);

const listenSchema = (port: number) =>
  z.strictObject({
    /** Local address; "::" is every IPv4 and IPv6 address. */
    address: z.string().min(1).default("::"),
    port: portSchema.default(port),
    /** Names and addresses that the server certificate is made for. */
    names: z.array(z.string().min(1).max(253)).min(1).max(32).default(["localhost"]),
  });

/** The registry's configuration file, YAML. */
export const registryConfigSchema = z.strictObject({
  /** The registry's name, part of every proof: "register.example". Never changes. */
  name: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, "a name is lower-case letters, digits, dots and hyphens"),
  stateDir: z.string().min(1).default(PATH.registryState),
  runtimeDir: z.string().min(1).default(PATH.registryRuntime),
  register: listenSchema(PORT.register)
    .extend({
      /** Load balancers whose every connection begins with a PROXY protocol header, version 2. */
      proxies: z.array(cidrSchema).max(64).default([]),
      /** Certificate with its chain, and key, that somebody else renews (an ACME client): PEM files, both or neither. */
      certificate: z.string().min(1).nullable().default(null),
      key: z.string().min(1).nullable().default(null),
      /** A second listener, which asks for client certificates: for EST (RFC 7030). Null is none. */
      est: z
        .strictObject({
          port: portSchema.default(PORT.est),
          /** Names of its own beside register's; one certificate is for all. */
          names: z.array(z.string().min(1).max(253)).max(32).default([]),
        })
        .nullable()
        .default(null),
    })
    .refine(({ certificate, key }) => (certificate === null) === (key === null), {
      path: ["key"],
      message: "certificate and key go together",
    })
    .prefault({}),
  control: listenSchema(PORT.control).prefault({}),
  ca: z.strictObject({ signer: signerSchema.prefault({ kind: "file" }) }).prefault({}),
  /** Networks that may be registered although they are private or reserved. */
  allowNetworks: z.array(cidrSchema).max(1024).default([]),
  feed: z.strictObject({ heartbeatMs: z.int().min(100).max(FEED.maxHeartbeatMs).default(FEED.heartbeatMs) }).prefault({}),
  limits: z
    .strictObject({
      /** Registrations that one source may attempt in a minute (IPv6: its /64). Counted in memory, by each process. */
      registrationsPerMinute: z.int().min(1).max(1_000_000).default(60),
      /** Registrations and renewals with a right proof from one source. This and the next two are counted in Storage. */
      registrationsPerHour: z.int().min(1).max(1_000_000_000).default(1_200),
      /** Wrong proofs from one source, whatever they name. */
      wrongProofsPerHour: z.int().min(1).max(1_000_000_000).default(120),
      /** Wrong proofs from one source for one selector or device. */
      wrongProofsPerSigner: z.int().min(1).max(1_000_000_000).default(10),
      /** From so many devices on an address that admits them is flagged to the operator; nobody is refused. */
      devicesPerAddress: z.int().min(2).max(10_000).default(50),
    })
    .prefault({}),
});

/** All that a role's certificate is made for. */
export function namesOf(config: RegistryConfig, role: "register" | "control"): readonly string[] {
  const more = role === "register" ? (config.register.est?.names ?? []) : [];
  return [...new Set([...config[role].names, ...more])];
}

export type RegistryConfig = z.output<typeof registryConfigSchema>;

/** @throws ConfigError with every problem of the file */
export const loadRegistryConfig = (file: string): RegistryConfig => loadConfig(file, registryConfigSchema);
export const parseRegistryConfig = (file: string, text: string): RegistryConfig => parseConfig(file, text, registryConfigSchema);
