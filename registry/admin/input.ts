import { z } from "zod";
import { ADMIN, CA_KINDS, REVOCATION_REASONS } from "../../lib/admin/api.ts";

/** What the routes accept; what a value means is decided, with a code of its own, by the command it goes to. */
const text = (max: number) => z.string().max(max);

export const pageQuery = z.strictObject({
  after: text(128).nullable().default(null),
  limit: z.coerce.number().int().min(1).max(ADMIN.maxLimit).default(ADMIN.defaultLimit),
});
export const grantQuery = pageQuery.extend({ device: text(64).nullable().default(null) });
export const noQuery = z.strictObject({});

export const nameParameter = z.strictObject({ name: text(128) });
export const selectorParameter = z.strictObject({ selector: text(16) });
export const idParameter = z.strictObject({ id: text(64) });

export const newCode = z.strictObject({
  selector: text(16),
  publicKey: text(64),
  subject: text(1_024),
  profile: text(128),
  uses: z.int(),
  expiresAt: z.int(),
});

/** Checked whole by the command; here only that it is an object of that kind. */
export const profileSettings = z.strictObject({
  pattern: z.enum(["ip", "cert", "either", "both"]).exactOptional(),
  addresses: z.union([z.enum(["observed", "any"]), z.array(text(64)).max(1_024)]).exactOptional(),
  addressLifetimeMs: z.int().exactOptional(),
  certificateLifetimeMs: z.int().exactOptional(),
  maxAddresses: z.int().exactOptional(),
  widest4: z.int().exactOptional(),
  widest6: z.int().exactOptional(),
  observed6: z.union([z.literal(64), z.literal(128)]).exactOptional(),
  plainCode: z.boolean().exactOptional(),
  reenroll: z.boolean().exactOptional(),
});

const csr = text(32_768);
const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hex digits, as 'cert list' tells it");
const name = z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/, "a name is 1 to 63 lower-case letters, digits, dots and hyphens");

export const certificateParameter = z.strictObject({ fingerprint });
export const revokeCertificateBody = z.strictObject({ reason: z.enum(REVOCATION_REASONS).default("unspecified") });

export const rotateBody = z.strictObject({ kind: z.enum(CA_KINDS).default("device") });
export const authorityParameter = z.strictObject({ ca: z.string().regex(/^[a-z]{1,32}-[0-9a-f]{8}$/, "a CA's id, as 'ca show' tells it") });
export const retireBody = z.strictObject({ reason: z.enum(REVOCATION_REASONS).default("cessationOfOperation") });

export const renewal = z.strictObject({ csr });
export const serviceRenewal = z.strictObject({ csr, fingerprint });
export const newAgent = z.strictObject({ name, zone: z.enum(["open", "restricted"]), csr, replace: z.boolean().default(false) });
export const newServerCertificate = z.strictObject({ names: z.array(text(253)).min(1).max(32), csr });
export const newOperator = z.strictObject({ name, csr, role: z.enum(["operator", "metrics"]).default("operator") });
