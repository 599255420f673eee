import type { FastifyReply, FastifyRequest } from "fastify";
import { csrDigest } from "../../lib/registration/csr.ts";
import { submissionDigest } from "../../lib/registration/submission.ts";
import { readDeviceKey } from "../store/registrations.ts";
import { parseIdempotencyKey, parseRenewal } from "./body.ts";
import { assertProven, type RegistrationParts, submit } from "./submit.ts";

/**
 * POST /v1/renewals: a device's proof sets what it holds anew. An unknown device, one without a key and a wrong proof cost the same
 * work and get one answer; that a device was revoked or has left is told after a right proof, by Process.
 */
export async function postRenewal(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  parseIdempotencyKey(request.headers["idempotency-key"]);
  const { device, proof, addresses, csr, observations } = parseRenewal(request.body);
  const { nonce, time, signature } = proof;
  const submission = {
    action: "renew",
    registry: parts.registry,
    signer: `device:${device}`,
    addresses,
    csrDigest: csr === null ? null : csrDigest(csr),
    deviceKey: null,
    nonce,
    time,
  } as const;
  await assertProven(request, parts, submission, signature, (db) => readDeviceKey(db, { id: device }));
  return submit(request, reply, parts, {
    submission,
    signature,
    csr,
    sealed: null,
    shown: null,
    digest: submissionDigest(submission),
    observations,
  });
}
