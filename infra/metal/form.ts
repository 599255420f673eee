import { isIP } from "node:net";
import { z } from "zod";
import { portSchema } from "../../lib/config.ts";
import { backendSchema, nameSchema as environmentSchema } from "../backend.ts";

const treeSchema = z.record(z.string(), z.unknown());
const nameSchema = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a name is 1 to 63 lower-case letters, digits and hyphens");
const labelsSchema = z.record(nameSchema, z.string().max(63));
const userSchema = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, "a user's name is lower-case letters, digits, hyphens and underscores");
/** Goes into a command line: no word that could be taken for an option. */
const addressSchema = z
  .string()
  .refine((text) => (isIP(text) > 0 && !text.includes("%")) || /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text), {
    message: "an address is IPv4, IPv6 or a host name in lower case",
  });
const fileSchema = z.string().regex(/^[^\s"'\\%-][^\s"'\\%]{0,254}$/, "a file's path, without spaces, quotes and percent signs");

const hostSchema = z.strictObject({
  name: nameSchema,
  /** registry: register and control. agent: what is behind the gate, or in the open zone with Standard Rules alone. */
  role: z.enum(["registry", "agent"]),
  zone: z.enum(["restricted", "open"]).default("restricted"),
  address: addressSchema,
  ssh: z.strictObject({
    /** root, or who may run everything by sudo without being asked. */
    user: userSchema.optional(),
    port: portSchema.optional(),
    key: fileSchema.optional(),
    /** The host's own key as its ssh_host_*_key.pub says it: no other machine is taken for it. */
    hostKey: z
      .string()
      .regex(/^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*$/, "a host key is its kind and its base64"),
  }),
  labels: labelsSchema.default({}),
  /** Names and addresses of the service behind the gate: control signs its certificate. Empty is none. */
  service: z
    .array(z.string().regex(/^[a-z0-9*][a-z0-9.:*-]{0,252}$/, "a name or an address"))
    .max(32)
    .default([]),
  /** Its own part of agent.yaml. */
  agent: treeSchema.default({}),
});

/** Hosts that are there, one YAML: what each of them is to be. Reference: infra/environments/metal.yaml. */
export const formSchema = z.strictObject({
  environment: environmentSchema,
  backend: backendSchema,
  /** Folder that npm run package wrote to. Paths are relative to this file. */
  packages: fileSchema,
  /** At most so many hosts at a time; the next ones wait for their health. */
  rolling: z.strictObject({ width: z.int().min(1).max(100).default(1) }).prefault({}),
  /** Registries' hosts that a deploy or destroy may purge, with Storage and the CAs' keys; every other one is refused. */
  purge: z.array(nameSchema).max(16).default([]),
  /** What hosts have in common for SSH. */
  ssh: z.strictObject({ user: userSchema.default("root"), port: portSchema.default(22), key: fileSchema.optional() }).prefault({}),
  /** registry.yaml. */
  registry: treeSchema.default({}),
  /** agent.yaml of every agent, and what those with all of these labels have beside it. */
  agent: treeSchema.default({}),
  overlays: z
    .array(z.strictObject({ labels: labelsSchema, agent: treeSchema }))
    .max(64)
    .default([]),
  hosts: z.array(hostSchema).min(1).max(1_000),
});

export type Form = z.output<typeof formSchema>;
export type HostForm = Form["hosts"][number];

/** Of a host every part by itself; null is one that has not the right form. */
const tolerantHostSchema = z.object({
  name: nameSchema.nullable().catch(null),
  role: hostSchema.shape.role.nullable().catch(null),
  zone: hostSchema.shape.zone.catch("restricted"),
  address: addressSchema.nullable().catch(null),
  ssh: z.object({ port: portSchema.optional().catch(undefined) }).catch({}),
  labels: hostSchema.shape.labels.nullable().catch(null),
  service: hostSchema.shape.service.nullable().catch(null),
  agent: hostSchema.shape.agent.catch({}),
});
export type TolerantHost = z.output<typeof tolerantHostSchema>;

/** What of a file has the right form, so that the rest is looked at whatever else is wrong. */
export const tolerantSchema = z.object({
  ssh: z
    .object({ port: portSchema.default(22).catch(22) })
    .prefault({})
    .catch({ port: 22 }),
  registry: treeSchema.catch({}),
  agent: treeSchema.catch({}),
  overlays: z.array(formSchema.shape.overlays.unwrap().element.nullable().catch(null)).catch([]),
  hosts: z.array(tolerantHostSchema.nullable().catch(null)).catch([]),
});
export type Tolerant = z.output<typeof tolerantSchema>;
