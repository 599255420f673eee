import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import { csrDigest } from "../../lib/registration/csr.ts";
import { assertProofTime, type Submission, verifySubmission } from "../../lib/registration/submission.ts";
import { type InboxItem, storedSubmissionSchema } from "../store/intake.ts";

/**
 * Believes nothing that register wrote: builds the canonical submission anew and checks its proof against the key that
 * Storage holds of its signer, a code's or a device's.
 * @returns the submission as it was signed
 * @throws Problem proof_refused, or proof_time with the registry's time
 */
export function verifiedSubmission(item: InboxItem, registry: string, now: number): Submission {
  const fields = parsed(item.submission);
  const key = item.signer.startsWith("code:") ? item.code_key : item.device_key;
  if (fields === null || key === null) throw refused();
  const digest = item.csr === null ? null : csrDigest(item.csr);
  const submission: Submission = { action: item.action, registry, signer: item.signer, ...fields, csrDigest: digest };
  if (!verifySubmission(submission, publicKeyFromRaw(key), item.signature)) throw refused();
  assertProofTime(submission.time, now);
  return submission;
}

const refused = () => new Problem(401, "proof_refused", "The proof is not right for who is said to have signed it.");

function parsed(json: string) {
  try {
    return storedSubmissionSchema.parse(JSON.parse(json));
  } catch {
    return null;
  }
}
