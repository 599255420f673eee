import { type KeyObject, randomBytes } from "node:crypto";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";

/** Who signs: a code or a device, its key, and the registry that the proof is for. */
export interface Signing {
  readonly signer: string;
  readonly key: KeyObject;
  readonly registry: string;
}

/** A proof for a request that has no body to carry it. @param time as the registry's clock has it, integer milliseconds */
export function proofHeaders(action: "status" | "leave", { signer, key, registry }: Signing, time: number): Record<string, string> {
  const nonce = randomBytes(16).toString("base64url");
  const submission: Submission = { action, registry, signer, addresses: [], csrDigest: null, deviceKey: null, nonce, time };
  return { "entityos-time": String(time), "entityos-nonce": nonce, "entityos-signature": signSubmission(submission, key) };
}
