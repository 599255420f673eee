import { randomBytes } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { parseCode, plainCodeRefused } from "../../lib/registration/code.ts";
import { csrDigest } from "../../lib/registration/csr.ts";
import { submissionDigest } from "../../lib/registration/submission.ts";
import { seal } from "../../lib/seal.ts";
import { readPlainCode } from "../store/registrations.ts";
import { assertKnown, lookedUp, type Proven, type RegistrationParts } from "./submit.ts";

/** What stands for nonce and time where equal bodies must have equal digests: the client sends neither. */
const NO_NONCE = "A".repeat(22);

/** A registration whose client can send nothing but the code itself. */
export interface PlainBody {
  /** As typed. */
  readonly code: string;
  readonly addresses: readonly string[];
  readonly csr: Buffer | null;
  readonly observations: readonly string[];
  readonly deviceKey: string | null;
}

/**
 * Takes the code itself for the proof: checks it, and seals it to control for this one submission, before anything is stored. A
 * profile that takes no plain codes says so after a right code alone.
 * @throws Problem code_format | code_check | proof_refused | proofs_limited | plain_code_refused
 */
export async function proveByCode(
  request: FastifyRequest,
  parts: RegistrationParts,
  { code: typed, addresses, csr, observations, deviceKey }: PlainBody,
): Promise<Proven> {
  const { registry, clock, sealing } = parts;
  const { selector, publicKey } = parseCode(typed);
  const signer = `code:${selector}`;
  const known = await assertKnown(
    request,
    parts,
    signer,
    lookedUp(parts, (db) => readPlainCode(db, { selector })),
    (found) => found?.publicKey === publicKey,
  );
  if (known?.plainCode !== true) throw plainCodeRefused();
  const wanted = csr === null ? null : csrDigest(csr);
  const nonce = randomBytes(16).toString("base64url");
  const submission = { action: "register", registry, signer, addresses, csrDigest: wanted, deviceKey, nonce, time: clock.now() } as const;
  const sealed = seal(Buffer.from(typed), sealing, submissionDigest(submission));
  const digest = submissionDigest({ ...submission, nonce: NO_NONCE, time: 0 });
  return { submission, signature: "", csr, sealed, shown: null, digest, observations };
}
