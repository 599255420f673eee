import type { KeyObject } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { verifyByCertificate } from "../../lib/registration/certificate-proof.ts";
import { parseCode } from "../../lib/registration/code.ts";
import { csrDigest } from "../../lib/registration/csr.ts";
import type { Proofs } from "../../lib/registration/proofs.ts";
import { assertProofTime, PROOF_WINDOW_MS, type Submission, submissionDigest } from "../../lib/registration/submission.ts";
import { open } from "../../lib/seal.ts";
import { URN } from "../../lib/service.ts";
import { assertNames } from "../ca/csr-names.ts";
import { type InboxItem, storedSubmissionSchema } from "../store/intake.ts";

/** A submission as it was signed. */
export interface Verified {
  readonly submission: Submission;
  /** The code itself was sent, instead of a proof. */
  readonly plain: boolean;
  /** The client certificate that register says it saw, instead of a proof; or the one whose key signed. */
  readonly shown: string | null;
}

export interface ProofParts {
  readonly registry: string;
  readonly sealing: KeyObject;
  readonly proofs: Proofs;
  /** PEM of the device's certificate that the item names, from Storage; null when it names none of that device's. */
  readonly certificate: string | null;
}

/**
 * Believes nothing that register wrote: builds the canonical submission anew and checks its proof against the key that
 * Storage holds of its signer, a code's, a device's, or that of a certificate of the device's. Where a client could send the code alone, the code is the proof: sealed
 * for this very submission, and its key must be the one in Storage. Where a client shows its certificate alone there is nothing
 * to verify here but the request: what a certificate may get is for `permitReenroll` to say.
 * @throws Problem proof_refused, proof_time with the registry's time, or csr_format | csr_subject
 */
export function verifiedSubmission(item: InboxItem, { registry, ...keys }: ProofParts, now: number): Verified {
  const submission = canonical(item, registry);
  if (submission === null || !isRight(item, submission, keys)) throw refused();
  assertProofTime(submission.time, now);
  return { submission, plain: item.sealed !== null, shown: item.shown };
}

/**
 * As {@link verifiedSubmission}, of a signature that was found right before, against the key that Storage holds now. Costs no check.
 * @returns null when it must be looked at by itself
 */
export function knownSubmission(
  item: InboxItem,
  { registry, proofs }: { readonly registry: string; readonly proofs: Proofs },
  now: number,
): Verified | null {
  const key = keyOf(item);
  if (key === null || item.csr !== null || item.sealed !== null || item.shown !== null) return null;
  const submission = canonical(item, registry);
  if (submission === null || !proofs.isKnown(submission, key, item.signature)) return null;
  if (Math.abs(submission.time - now) > PROOF_WINDOW_MS) return null;
  return { submission, plain: false, shown: null };
}

/** What register wrote, as it was signed if it was; null when it cannot have been. */
function canonical(item: InboxItem, registry: string): Submission | null {
  const fields = parsed(item.submission);
  if (fields === null) return null;
  const digest = item.csr === null ? null : csrDigest(item.csr);
  return { action: item.action, registry, signer: item.signer, ...fields, csrDigest: digest };
}

const keyOf = (item: InboxItem): string | null => (item.signer.startsWith("code:") ? item.code_key : item.device_key);

function isRight(item: InboxItem, submission: Submission, { sealing, certificate, proofs }: Omit<ProofParts, "registry">): boolean {
  const key = keyOf(item);
  const { signer, action, csr, sealed, shown, signature } = item;
  if (shown !== null && action === "renew") return certificate !== null && verifyByCertificate(submission, certificate, signature);
  if (shown !== null) {
    if (action !== "reenroll" || csr === null || sealed !== null || !signer.startsWith("device:")) return false;
    assertNames(csr, URN.device + signer.slice("device:".length));
    return true;
  }
  if (key === null || action === "reenroll") return false;
  if (sealed === null) return proofs.isRight(submission, key, signature);
  return signer.startsWith("code:") && isSealedCode(sealed, sealing, submission, key);
}

function isSealedCode(sealed: string, sealing: KeyObject, submission: Submission, key: string): boolean {
  const opened = open(sealed, sealing, submissionDigest(submission));
  if (opened === null) return false;
  try {
    const code = parseCode(opened.toString());
    return `code:${code.selector}` === submission.signer && code.publicKey === key;
  } catch {
    return false;
  } finally {
    opened.fill(0);
  }
}

const refused = () => new Problem(401, "proof_refused", "The proof is not right for who is said to have signed it.");

function parsed(json: string) {
  try {
    return storedSubmissionSchema.parse(JSON.parse(json));
  } catch {
    return null;
  }
}
