import { randomBytes } from "node:crypto";
import { TLSSocket } from "node:tls";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Problem } from "../../../lib/problem.ts";
import { csrDigest, csrFromBase64 } from "../../../lib/registration/csr.ts";
import { assertDeviceLives } from "../../../lib/registration/ended.ts";
import { clientCertificateRefused, reenrollRefused } from "../../../lib/registration/reenroll.ts";
import { submissionDigest } from "../../../lib/registration/submission.ts";
import { readEndReason, readShown } from "../../store/registrations.ts";
import { REGISTER } from "../limits.ts";
import { proveByCode } from "../plain.ts";
import { sendProblemBody } from "../problems.ts";
import { accept, type Proven, type RegistrationParts } from "../submit.ts";
import { sendCertificates } from "./answer.ts";

/** What stands for nonce and time where equal requests must have equal digests: an EST client sends neither. */
const NO_NONCE = "A".repeat(22);

/**
 * POST /simpleenroll (RFC 7030 §4.2.1): the security code, as the password of HTTP Basic, enrols a device that holds a certificate and
 * no address. The user's name says nothing.
 */
export async function simpleEnroll(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  const csr = requestOf(request);
  const code = passwordOf(request);
  const proven = await proveByCode(request, parts, { code, addresses: [], csr, observations: [], deviceKey: null }).catch(asCredentials);
  return conclude(request, reply, parts, proven, csr);
}

/**
 * POST /simplereenroll (RFC 7030 §4.2.2): who shows a live certificate of a device gets that device's next one, where its profile lets
 * register's word be enough. What the device holds of addresses stays as it is.
 */
export async function simpleReenroll(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  const csr = requestOf(request);
  const { store, clock, registry } = parts;
  const fingerprint = shownBy(request);
  if (fingerprint === null) throw clientCertificateRefused();
  const known = await store.read((db) => readShown(db, { fingerprint, now: clock.now() }));
  if (known === null) throw clientCertificateRefused();
  if (!known.reenroll) throw reenrollRefused();
  const submission = {
    action: "reenroll",
    registry,
    signer: `device:${known.device}`,
    addresses: [],
    csrDigest: csrDigest(csr),
    deviceKey: null,
    nonce: randomBytes(16).toString("base64url"),
    time: clock.now(),
  } as const;
  const digest = submissionDigest({ ...submission, nonce: NO_NONCE, time: 0 });
  return conclude(
    request,
    reply,
    parts,
    { submission, signature: "", csr, sealed: null, shown: fingerprint, digest, observations: [] },
    csr,
  );
}

/**
 * Stores it under the request's own digest, so that an EST client, which knows of no Idempotency-Key, may send the same again and gets
 * the first outcome (RFC 7030 §4.2.3 wants it to, after a 202). No header could say such a key, and no other signer has it.
 */
async function conclude(
  request: FastifyRequest,
  reply: FastifyReply,
  parts: RegistrationParts,
  proven: Proven,
  csr: Buffer,
): Promise<unknown> {
  const { told } = await accept(request, parts, proven, `est:${proven.submission.signer}:${csrDigest(csr)}`);
  if (told === null) return reply.code(202).header("retry-after", String(REGISTER.estRetryS)).send();
  const { status, body } = told.outcome;
  if (status >= 400) return sendProblemBody(reply, status, body);
  const { device, certificate } = JSON.parse(body) as { device: string; certificate: { pem: string } };
  // A client that sends the same for good must not take the first outcome for one that still counts.
  assertDeviceLives(await parts.store.read((db) => readEndReason(db, { id: device })));
  return sendCertificates(reply, [certificate.pem]);
}

/** The body lives until it is answered; it is let go of before that. @throws Problem media_type | csr_size | csr_format */
function requestOf(request: FastifyRequest): Buffer {
  const { body } = request;
  request.body = null;
  if (!Buffer.isBuffer(body)) throw mediaType();
  return csrFromBase64(body.toString("latin1"));
}

export const mediaType = (): Problem =>
  new Problem(415, "media_type", "The body must be a PKCS #10 request in base 64, with Content-Type: application/pkcs10.");

/** The header holds the code: it is let go of as soon as it was read. @throws Problem credentials_required */
function passwordOf(request: FastifyRequest): string {
  const { authorization } = request.headers;
  delete request.headers.authorization;
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization ?? "")?.[1];
  const pair = encoded === undefined ? "" : Buffer.from(encoded, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  if (colon < 0) throw credentialsRequired("Send the security code as the password of HTTP Basic, with any user name.");
  return pair.slice(colon + 1);
}

const credentialsRequired = (detail: string): Problem => new Problem(401, "credentials_required", detail);

/** A password that is no code is a wrong password. */
function asCredentials(error: unknown): never {
  if (error instanceof Problem && (error.code === "code_format" || error.code === "code_check")) throw credentialsRequired(error.message);
  throw error;
}

/** SHA-256 of the client certificate of this connection, whose key the handshake has proven; null when there is none. */
function shownBy(request: FastifyRequest): string | null {
  const { socket } = request.raw;
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  return certificate === undefined ? null : certificate.fingerprint256.replaceAll(":", "").toLowerCase();
}
