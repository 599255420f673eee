import { hash, type KeyObject, sign, verify } from "node:crypto";
import { Problem } from "../problem.ts";

/**
 * The canonical submission: the exact bytes that a proof signs. Client, register and control each build it from the fields,
 * so nothing that is not in it can be believed.
 */
export interface Submission {
  /** `reenroll` is never signed: it is what comes of a client certificate that register saw, where a client can send no proof (EST). */
  readonly action: "register" | "renew" | "leave" | "status" | "reenroll";
  /** The registry's name: a proof for one registry is none for another. */
  readonly registry: string;
  /** `code:SELECTOR`, or `device:UUID` once the device's own key signs. */
  readonly signer: string;
  /** As sent: "observed", "observed4", "observed6" or prefixes, in the order sent. */
  readonly addresses: readonly string[];
  /** SHA-256 of the CSR's DER in lower-case hex; null when there is none. */
  readonly csrDigest: string | null;
  /** base64url of the raw Ed25519 public key; null when there is none. */
  readonly deviceKey: string | null;
  /** 16 random bytes in base64url: with its time, a signer's nonce counts once. */
  readonly nonce: string;
  /** When it was signed, integer milliseconds since 1970. */
  readonly time: number;
}

/** "-" alone stands for an absent value. */
const VALUE = /^(?!-$)[!-+\--~]+$/;

/** How far a submission's time may be from the registry's, either way. */
export const PROOF_WINDOW_MS = 10 * 60_000;

/** @throws Problem proof_time, with the registry's time in `extra.now`, when `time` is outside the window around `now` */
export function assertProofTime(time: number, now: number): void {
  const problem = proofTimeProblem(time, now);
  if (problem !== null) throw problem;
}

/** As {@link assertProofTime}: null, or the problem. */
export function proofTimeProblem(time: number, now: number): Problem | null {
  if (Math.abs(time - now) <= PROOF_WINDOW_MS) return null;
  const minutes = PROOF_WINDOW_MS / 60_000;
  return new Problem(
    401,
    "proof_time",
    `The proof was signed more than ${minutes} minutes from the registry's time: set the clock, or sign with the time in "now".`,
    { extra: { now } },
  );
}

/**
 * ASCII text, one field a line, each line "name:value". Different submissions have different bytes, whoever built them.
 * @throws Problem submission_text when a value is empty or holds a space, a line break, a comma or anything but printable ASCII
 */
export function canonicalSubmission(s: Submission): Buffer {
  const { action, registry, signer, addresses, csrDigest, deviceKey, nonce, time } = s;
  const named = isValue(action) && isValue(registry) && isValue(signer) && isValue(nonce) && addresses.every(isValue);
  if (!named || !(csrDigest === null || isValue(csrDigest)) || !(deviceKey === null || isValue(deviceKey)) || !Number.isSafeInteger(time)) {
    throw new Problem(
      422,
      "submission_text",
      "A submission's fields are printable ASCII without spaces and commas, its time whole milliseconds.",
    );
  }
  const head = `entityos-submission-v1\naction:${action}\nregistry:${registry}\nsigner:${signer}\naddresses:${addresses.join(",")}\n`;
  return Buffer.from(`${head}csr:${csrDigest ?? "-"}\ndevice-key:${deviceKey ?? "-"}\nnonce:${nonce}\ntime:${time}\n`);
}

const isValue = (value: string): boolean => VALUE.test(value);

/** The canonical submission with its digest, for whoever needs both. */
export interface Canonical {
  readonly bytes: Buffer;
  /** SHA-256, lower-case hex. */
  readonly digest: string;
}

/** @throws Problem submission_text */
export function canonicalOf(s: Submission): Canonical {
  const bytes = canonicalSubmission(s);
  return { bytes, digest: hash("sha256", bytes) };
}

/** base64url Ed25519 signature over the canonical submission: the proof. */
export function signSubmission(s: Submission, privateKey: KeyObject): string {
  return sign(null, canonicalSubmission(s), privateKey).toString("base64url");
}

export function verifySubmission(s: Submission, publicKey: KeyObject, signature: string): boolean {
  return verify(null, canonicalSubmission(s), publicKey, Buffer.from(signature, "base64url"));
}

/** Lower-case hex SHA-256 of what was signed: equal bodies under one Idempotency-Key have equal digests. */
export function submissionDigest(s: Submission): string {
  return hash("sha256", canonicalSubmission(s));
}
