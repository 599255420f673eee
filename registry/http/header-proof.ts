import type { FastifyRequest } from "fastify";
import { Problem } from "../../lib/problem.ts";
import { type Proof, proofSchema } from "../../lib/registration/fields.ts";
import { PROOF_WINDOW_MS, type Submission } from "../../lib/registration/submission.ts";
import { IDEMPOTENCY_MS } from "../store/accept.ts";
import { type RegistrationRow, readRegistration } from "../store/registrations.ts";
import type { Builder, Command } from "../store/store.ts";
import { isProven } from "./submit.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Stands for a proof that is not there or out of form, so that it costs the same work. */
const NO_PROOF: Proof = { nonce: "A".repeat(22), time: 0, signature: "A".repeat(86) };

/** The registration that a request names; undefined when there is none, or the name is out of form. */
export function* namedRegistration(db: Builder, request: FastifyRequest): Command<RegistrationRow | undefined> {
  const { id } = request.params as { id: string };
  return UUID.test(id) ? yield* readRegistration(db, { id }) : undefined;
}

/** The proof in the `EntityOS-*` headers of a request that has no body to carry one. */
export function headerProof({ headers }: FastifyRequest): Proof | null {
  const time = String(headers["entityos-time"]);
  const [nonce, signature] = [headers["entityos-nonce"], headers["entityos-signature"]];
  const parsed = proofSchema.safeParse({ nonce, signature, time: /^\d{1,15}$/.test(time) ? Number(time) : null });
  return parsed.success ? parsed.data : null;
}

/** What such a proof signs. */
export function headerSubmission<A extends "status" | "leave">(
  action: A,
  registry: string,
  signer: string,
  proof: Proof | null,
): Submission & { readonly action: A } {
  const { nonce, time } = proof ?? NO_PROOF;
  return { action, registry, signer, addresses: [], csrDigest: null, deviceKey: null, nonce, time };
}

export const headerSignature = (proof: Proof | null): string => (proof ?? NO_PROOF).signature;

/** A question about a registration. */
export interface Asked {
  readonly row: RegistrationRow | undefined;
  readonly proof: Proof | null;
  /** What the request names, as it stands. */
  readonly id: string;
}

/**
 * Who may know of a registration: its device, by its key; and for 15 minutes, as long as a repeat would be told, the key that signed
 * it, since a device does not know its name before.
 * @throws Problem registration_unknown for everything else, after the same work
 */
export function assertMayKnow({ row, proof, id }: Asked, registry: string, now: number): RegistrationRow {
  const isSigned = (signer: string, key: string | null): boolean =>
    isProven(headerSubmission("status", registry, signer, proof), headerSignature(proof), key) && proof !== null;
  const byDevice = isSigned(`device:${row?.device ?? id}`, row?.device_key ?? null);
  const bySigner = isSigned(row?.signer ?? "code:00000000", row?.code_key ?? row?.signing_key ?? null);
  const inTime = Math.abs((proof?.time ?? 0) - now) <= PROOF_WINDOW_MS;
  if (row !== undefined && inTime && (byDevice || (bySigner && now - row.received_at <= IDEMPOTENCY_MS))) return row;
  throw registrationUnknown();
}

export const registrationUnknown = (): Problem =>
  new Problem(404, "registration_unknown", "There is no such registration, or the proof is not its device's.");
