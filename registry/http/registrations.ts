import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../lib/clock.ts";
import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import { assertProofTime, type Submission, submissionDigest, verifySubmission } from "../../lib/registration/submission.ts";
import { newId } from "../store/id.ts";
import { acceptSubmission } from "../store/intake.ts";
import { readCodeKey } from "../store/registrations.ts";
import type { Store } from "../store/store.ts";
import { answer } from "./answer.ts";
import { parseBody, parseIdempotencyKey, type RegistrationBody } from "./body.ts";
import { DUMMY_KEY } from "./dummy.ts";
import { REGISTER } from "./limits.ts";
import type { Outcomes } from "./outcomes.ts";
import { observedAddress } from "./source.ts";

export interface RegistrationParts {
  /** The registry's name, part of every proof. */
  readonly registry: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly outcomes: Outcomes;
}

/** POST /v1/registrations: proof checked, stored durably, then answered with the outcome or, when that takes longer, with 202. */
export async function postRegistration(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  const { store, clock, outcomes } = parts;
  const idempotencyKey = parseIdempotencyKey(request.headers["idempotency-key"]);
  const body = parseBody(request.body);
  const submission = submissionOf(body, parts.registry);
  const { signature, nonce, time } = body.proof;
  await assertProof(submission, body.selector, signature, store);
  const receivedAt = clock.now();
  const { addresses, csrDigest, deviceKey } = submission;
  const input = {
    id: newId(receivedAt),
    receivedAt,
    action: "register" as const,
    signer: submission.signer,
    submission: { addresses: [...addresses], csrDigest, deviceKey, nonce, time },
    signature,
    observed: observedAddress(request).address,
    digest: submissionDigest(submission),
    idempotencyKey,
  };
  const seen = outcomes.wakes;
  const { id, repeated } = await store.write((db) => acceptSubmission(db, input, () => assertProofTime(time, receivedAt)), ["inbox"]);
  const told = await outcomes.wait(id, repeated ? null : seen, REGISTER.outcomeWaitMs);
  reply.header("location", `/v1/registrations/${id}`);
  if (told === null) return reply.code(202).send({ id, state: "stored" });
  return answer(reply, told.outcome, told.acknowledged, 201);
}

function submissionOf({ selector, proof, addresses, deviceKey }: RegistrationBody, registry: string): Submission {
  const { nonce, time } = proof;
  return { action: "register", registry, signer: `code:${selector}`, addresses, csrDigest: null, deviceKey, nonce, time };
}

/** An unknown selector and a wrong proof cost the same work and get the same answer. @throws Problem proof_refused */
async function assertProof(submission: Submission, selector: string, signature: string, store: Store): Promise<void> {
  const known = await store.read((db) => readCodeKey(db, { selector }));
  const right = verifySubmission(submission, publicKeyFromRaw(known ?? DUMMY_KEY), signature);
  if (known === null || !right)
    throw new Problem(401, "proof_refused", "The proof is not right for this selector: check the security code.");
}
