import { z } from "zod";
import { Problem } from "../../lib/problem.ts";
import { csrFromPem } from "../../lib/registration/csr.ts";
import {
  addressesSchema,
  deviceIdSchema,
  deviceKeySchema,
  observationsSchema,
  proofSchema,
  selectorSchema,
} from "../../lib/registration/fields.ts";

const csrSchema = z.string().nullable().default(null);
const registrationSchema = z.strictObject({
  selector: selectorSchema,
  proof: proofSchema,
  addresses: addressesSchema.default([]),
  observations: observationsSchema.default([]),
  csr: csrSchema,
  deviceKey: deviceKeySchema.nullable().default(null),
});
const renewalSchema = z.strictObject({
  device: deviceIdSchema,
  proof: proofSchema,
  addresses: addressesSchema.default([]),
  observations: observationsSchema.default([]),
  csr: csrSchema,
});

/**
 * The body of a registration.
 * @throws Problem plain_code_refused | csr_size | csr_format | nothing_requested | request_invalid with the first thing that does not fit
 */
export function parseRegistration(value: unknown): WithCsr<z.infer<typeof registrationSchema>> {
  if (typeof value === "object" && value !== null && "code" in value) {
    throw new Problem(422, "plain_code_refused", "Do not send the security code: sign with it and send its selector and the proof.");
  }
  return parsed(registrationSchema, value);
}

/**
 * The body of a renewal.
 * @throws Problem csr_size | csr_format | nothing_requested | request_invalid with the first thing that does not fit
 */
export const parseRenewal = (value: unknown): WithCsr<z.infer<typeof renewalSchema>> => parsed(renewalSchema, value);

/** A body whose request is DER, looked at from outside; null when none was sent. */
type WithCsr<T> = Omit<T, "csr"> & { readonly csr: Buffer | null };

function parsed<T extends { readonly csr: string | null; readonly addresses: readonly string[] }>(
  schema: z.ZodType<T>,
  value: unknown,
): WithCsr<T> {
  const result = schema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new Problem(422, "request_invalid", `${issue?.path.join(".") || "The body"}: ${issue?.message ?? "does not fit"}.`);
  }
  const { csr, addresses } = result.data;
  if (csr === null && addresses.length === 0)
    throw new Problem(422, "nothing_requested", 'Nothing to register: send addresses, such as ["observed"], or a csr.');
  return { ...result.data, csr: csr === null ? null : csrFromPem(csr) };
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
