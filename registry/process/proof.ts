import type { KeyObject } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { parseCode, publicKeyFromRaw } from "../../lib/registration/code.ts";
import { csrDigest } from "../../lib/registration/csr.ts";
import { assertProofTime, type Submission, submissionDigest, verifySubmission } from "../../lib/registration/submission.ts";
import { open } from "../../lib/seal.ts";
import { type InboxItem, storedSubmissionSchema } from "../store/intake.ts";

/** A submission as it was signed. */
export interface Verified {
  readonly submission: Submission;
  /** The code itself was sent, instead of a proof. */
  readonly plain: boolean;
}

/**
 * Believes nothing that register wrote: builds the canonical submission anew and checks its proof against the key that
 * Storage holds of its signer, a code's or a device's. Where a client could send the code alone, the code is the proof: sealed
 * for this very submission, and its key must be the one in Storage.
 * @throws Problem proof_refused, or proof_time with the registry's time
 */
export function verifiedSubmission(
  item: InboxItem,
  { registry, sealing }: { readonly registry: string; readonly sealing: KeyObject },
  now: number,
): Verified {
  const fields = parsed(item.submission);
  const isCode = item.signer.startsWith("code:");
  const key = isCode ? item.code_key : item.device_key;
  if (fields === null || key === null) throw refused();
  const digest = item.csr === null ? null : csrDigest(item.csr);
  const submission: Submission = { action: item.action, registry, signer: item.signer, ...fields, csrDigest: digest };
  const plain = item.sealed !== null;
  const right =
    item.sealed === null
      ? verifySubmission(submission, publicKeyFromRaw(key), item.signature)
      : isCode && isSealedCode(item.sealed, sealing, submission, key);
  if (!right) throw refused();
  assertProofTime(submission.time, now);
  return { submission, plain };
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
