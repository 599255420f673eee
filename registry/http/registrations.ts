import type { FastifyReply, FastifyRequest } from "fastify";
import { csrDigest } from "../../lib/registration/csr.ts";
import { readCodeKey } from "../store/registrations.ts";
import { parseIdempotencyKey, parseRegistration } from "./body.ts";
import { assertProven, type RegistrationParts, submit } from "./submit.ts";

/** POST /v1/registrations: a code's proof makes a device. An unknown selector and a wrong proof cost the same work and get one answer. */
export async function postRegistration(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  parseIdempotencyKey(request.headers["idempotency-key"]);
  const { selector, proof, addresses, csr, observations, deviceKey } = parseRegistration(request.body);
  const { nonce, time, signature } = proof;
  const submission = {
    action: "register",
    registry: parts.registry,
    signer: `code:${selector}`,
    addresses,
    csrDigest: csr === null ? null : csrDigest(csr),
    deviceKey,
    nonce,
    time,
  } as const;
  await assertProven(request, parts, submission, signature, (db) => readCodeKey(db, { selector }));
  return submit(request, reply, parts, { submission, signature, csr, observations });
}
