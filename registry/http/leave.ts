import type { FastifyReply, FastifyRequest } from "fastify";
import { submissionDigest } from "../../lib/registration/submission.ts";
import { headerProof, headerSignature, headerSubmission, namedRegistration, registrationUnknown } from "./header-proof.ts";
import { isProven, type RegistrationParts, submit } from "./submit.ts";

/**
 * DELETE /v1/registrations/{id}: the registration's device leaves, with all that it holds. By the device's key alone; everything else
 * is a 404 that took the same work.
 */
export async function deleteRegistration(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  const { id } = request.params as { id: string };
  const row = await parts.store.read((db) => namedRegistration(db, request));
  const proof = headerProof(request);
  const submission = headerSubmission("leave", parts.registry, `device:${row?.device ?? id}`, proof);
  const signature = headerSignature(proof);
  if (!isProven(submission, signature, row?.device_key ?? null) || proof === null) throw registrationUnknown();
  const digest = submissionDigest(submission);
  return submit(request, reply, parts, { submission, signature, csr: null, sealed: null, shown: null, digest, observations: [] });
}
