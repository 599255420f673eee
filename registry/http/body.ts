import { z } from "zod";
import { Problem } from "../../lib/problem.ts";
import { csrFromPem } from "../../lib/registration/csr.ts";
import {
  addressesSchema,
  certificateProofSchema,
  deviceIdSchema,
  deviceKeySchema,
  fingerprintSchema,
  observationsSchema,
  proofSchema,
  selectorSchema,
} from "../../lib/registration/fields.ts";
import { plainWords } from "../../lib/words.ts";

const csrSchema = z.string().nullable().default(null);
const registrationSchema = z.strictObject({
  selector: selectorSchema,
  proof: proofSchema,
  addresses: addressesSchema.default([]),
  observations: observationsSchema.default([]),
  csr: csrSchema,
  deviceKey: deviceKeySchema.nullable().default(null),
});
const plainSchema = registrationSchema.omit({ selector: true, proof: true }).extend({
  /** As typed, with separators. */
  code: z.string().max(200),
});
const renewalSchema = z.strictObject({
  device: deviceIdSchema,
  proof: proofSchema,
  addresses: addressesSchema.default([]),
  observations: observationsSchema.default([]),
  csr: csrSchema,
});

/**
 * The body of a registration that is signed, or that carries the code itself.
 * @throws Problem csr_size | csr_format | nothing_requested | request_invalid with the first thing that does not fit
 */
export function parseRegistration(value: unknown): WithCsr<z.infer<typeof registrationSchema>> | WithCsr<z.infer<typeof plainSchema>> {
  const plain = typeof value === "object" && value !== null && Object.hasOwn(value, "code");
  return plain ? parsed(plainSchema, value) : parsed(registrationSchema, value);
}

/** The proof is by the key of that certificate of the device, instead of the device's own. */
const certifiedRenewalSchema = renewalSchema.extend({ certificate: fingerprintSchema, proof: certificateProofSchema });

/**
 * The body of a renewal.
 * @throws Problem csr_size | csr_format | nothing_requested | request_invalid with the first thing that does not fit
 */
export function parseRenewal(value: unknown): WithCsr<z.infer<typeof renewalSchema>> | WithCsr<z.infer<typeof certifiedRenewalSchema>> {
  const certified = typeof value === "object" && value !== null && Object.hasOwn(value, "certificate");
  return certified ? parsed(certifiedRenewalSchema, value) : parsed(renewalSchema, value);
}

/** A body whose request is DER, looked at from outside; null when none was sent. */
type WithCsr<T> = Omit<T, "csr"> & { readonly csr: Buffer | null };

function parsed<T extends { readonly csr: string | null; readonly addresses: readonly string[] }>(
  schema: z.ZodType<T>,
  value: unknown,
): WithCsr<T> {
  const result = schema.safeParse(value, { error: plainWords });
  if (!result.success) {
    throw new Problem(422, "request_invalid", `${sentenceOf(result.error.issues[0])}.`);
  }
  const { csr, addresses } = result.data;
  if (csr === null && addresses.length === 0)
    throw new Problem(422, "nothing_requested", 'Nothing to register: send addresses, such as ["observed"], or a csr.');
  return { ...result.data, csr: csr === null ? null : csrFromPem(csr) };
}

/** Names what does not fit, and quotes nothing that was sent: it may be a secret in the wrong place. */
function sentenceOf(issue: z.core.$ZodIssue | undefined): string {
  const path = issue?.path.join(".") || "The body";
  return issue?.code === "unrecognized_keys" ? `${path}: a member is not known here` : `${path}: ${issue?.message ?? "does not fit"}`;
}

/** At least 128 random bits in base64url. */
const KEY = /^[A-Za-z0-9_-]{22,128}$/;

/** @throws Problem idempotency_key */
export function parseIdempotencyKey(header: string | readonly string[] | undefined): string | null {
  if (header === undefined) return null;
  if (typeof header === "string" && KEY.test(header)) return header;
  throw new Problem(
    422,
    "idempotency_key",
    "An Idempotency-Key is 128 random bits or more in base64url: 22 to 128 letters, digits, - and _.",
  );
}
