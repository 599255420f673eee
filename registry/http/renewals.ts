import type { FastifyReply, FastifyRequest } from "fastify";
import { verifyByCertificate } from "../../lib/registration/certificate-proof.ts";
import { csrDigest } from "../../lib/registration/csr.ts";
import { canonicalOf, type Submission } from "../../lib/registration/submission.ts";
import { readCertificate, readDeviceKey } from "../store/registrations.ts";
import { parseIdempotencyKey, parseRenewal } from "./body.ts";
import { DUMMY_CERTIFICATE_KEY } from "./dummy.ts";
import { assertKnown, assertProven, lookedUp, type RegistrationParts, submit } from "./submit.ts";

/** True when the certificate's key made the signature; without a certificate the same work is done and it is not. */
function isProvenByCertificate(submission: Submission, signature: string, certificate: string | null): boolean {
  const right = verifyByCertificate(submission, certificate ?? DUMMY_CERTIFICATE_KEY, signature);
  return right && certificate !== null;
}

/**
 * POST /v1/renewals: a device's proof, by its own key or by that of one of its certificates, sets what it holds anew. An
 * unknown device, one without a key and a wrong proof cost the same work and get one answer; that a device was revoked or has left is told after a right proof, by Process.
 */
export async function postRenewal(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  parseIdempotencyKey(request.headers["idempotency-key"]);
  const body = parseRenewal(request.body);
  const { device, proof, addresses, csr, observations } = body;
  const shown = "certificate" in body ? body.certificate : null;
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
  const { signer } = submission;
  const canonical = canonicalOf(submission);
  if (shown === null)
    await assertProven(
      request,
      parts,
      { signer, canonical, signature },
      lookedUp(parts, (db) => readDeviceKey(db, { id: device })),
    );
  else
    await assertKnown(
      request,
      parts,
      signer,
      lookedUp(parts, (db) => readCertificate(db, { fingerprint: shown, device })),
      (certificate) => isProvenByCertificate(submission, signature, certificate),
    );
  return submit(request, reply, parts, {
    submission,
    signature,
    csr,
    sealed: null,
    shown,
    digest: canonical.digest,
    observations,
  });
}
