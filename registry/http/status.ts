import type { FastifyReply, FastifyRequest } from "fastify";
import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import { type Proof, proofSchema } from "../../lib/registration/fields.ts";
import { PROOF_WINDOW_MS, verifySubmission } from "../../lib/registration/submission.ts";
import { IDEMPOTENCY_MS } from "../store/intake.ts";
import { readAcknowledged, readRegistration } from "../store/registrations.ts";
import { answer } from "./answer.ts";
import { DUMMY_KEY } from "./dummy.ts";
import type { RegistrationParts } from "./registrations.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * GET /v1/registrations/{id}: what became of a registration, for its device's key; and for 15 minutes, as long as a repeat would be
 * told, for the key that signed it, since a device does not know its name before. Everything else is a 404 that took the same work.
 */
export async function getRegistration(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  const { store, clock, registry } = parts;
  const { id } = request.params as { id: string };
  const now = clock.now();
  const proof = proofOf(request);
  const { row, acknowledged } = await store.read(function* (db) {
    const row = UUID.test(id) ? yield* readRegistration(db, { id }) : undefined;
    return { row, acknowledged: yield* readAcknowledged(db) };
  });
  const byDevice = isSigned(proof, registry, `device:${row?.device ?? id}`, row?.device_key ?? null);
  const bySigner = isSigned(proof, registry, row?.signer ?? "code:00000000", row?.code_key ?? null);
  const inTime = Math.abs((proof?.time ?? 0) - now) <= PROOF_WINDOW_MS;
  if (row === undefined || !inTime || !(byDevice || (bySigner && now - row.received_at <= IDEMPOTENCY_MS))) {
    throw new Problem(404, "registration_unknown", "There is no such registration, or the proof is not its device's.");
  }
  if (row.status === null || row.body === null || row.revision === null) return reply.send({ id, state: "stored" });
  return answer(reply, { status: row.status, body: row.body, revision: row.revision }, acknowledged, 200);
}

function proofOf({ headers }: FastifyRequest): Proof | null {
  const time = String(headers["entityos-time"]);
  const [nonce, signature] = [headers["entityos-nonce"], headers["entityos-signature"]];
  const parsed = proofSchema.safeParse({ nonce, signature, time: /^\d{1,15}$/.test(time) ? Number(time) : null });
  return parsed.success ? parsed.data : null;
}

function isSigned(proof: Proof | null, registry: string, signer: string, key: string | null): boolean {
  const { nonce, time, signature } = proof ?? { nonce: "A".repeat(22), time: 0, signature: "A".repeat(86) };
  const submission = { action: "status", registry, signer, addresses: [], csrDigest: null, deviceKey: null, nonce, time } as const;
  const right = verifySubmission(submission, publicKeyFromRaw(key ?? DUMMY_KEY), signature);
  return right && proof !== null && key !== null;
}
