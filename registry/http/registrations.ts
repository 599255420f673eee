import type { FastifyReply, FastifyRequest } from "fastify";
import { csrDigest } from "../../lib/registration/csr.ts";
import { canonicalOf } from "../../lib/registration/submission.ts";
import { parseIdempotencyKey, parseRegistration } from "./body.ts";
import { proveByCode } from "./plain.ts";
import { assertProven, type Proven, type RegistrationParts, submit } from "./submit.ts";

type Body = ReturnType<typeof parseRegistration>;

/** POST /v1/registrations: a code's proof makes a device. An unknown selector and a wrong proof cost the same work and get one answer. */
export async function postRegistration(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  parseIdempotencyKey(request.headers["idempotency-key"]);
  return submit(request, reply, parts, await prove(request, parts));
}

/** The request lives until it is answered; what it carried, perhaps the code itself, is let go of before that. */
function prove(request: FastifyRequest, parts: RegistrationParts): Promise<Proven> {
  const body = parseRegistration(request.body);
  request.body = null;
  return "code" in body ? proveByCode(request, parts, body) : proveBySignature(request, parts, body);
}

async function proveBySignature(
  request: FastifyRequest,
  parts: RegistrationParts,
  { selector, proof, addresses, csr, observations, deviceKey }: Exclude<Body, { readonly code: string }>,
): Promise<Proven> {
  const { nonce, time, signature } = proof;
  const signer = `code:${selector}`;
  const digest = csr === null ? null : csrDigest(csr);
  const submission = {
    action: "register",
    registry: parts.registry,
    signer,
    addresses,
    csrDigest: digest,
    deviceKey,
    nonce,
    time,
  } as const;
  const canonical = canonicalOf(submission);
  await assertProven(request, parts, { signer, canonical, signature }, (attempt) => parts.codeKeys.of(attempt, selector));
  return { submission, signature, csr, sealed: null, shown: null, digest: canonical.digest, observations };
}
