import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../lib/clock.ts";
import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import { assertProofTime, type Submission, submissionDigest, verifySubmission } from "../../lib/registration/submission.ts";
import { newId } from "../store/id.ts";
import { acceptSubmission } from "../store/intake.ts";
import type { Builder, Command, Store } from "../store/store.ts";
import { answer } from "./answer.ts";
import type { Attempts } from "./attempts.ts";
import { parseIdempotencyKey } from "./body.ts";
import { DUMMY_KEY } from "./dummy.ts";
import { REGISTER } from "./limits.ts";
import type { Observations } from "./observation.ts";
import type { Outcomes } from "./outcomes.ts";
import { observedAddress, sourceOf } from "./source.ts";

export interface RegistrationParts {
  /** The registry's name, part of every proof. */
  readonly registry: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly outcomes: Outcomes;
  readonly observations: Observations;
  readonly attempts: Attempts;
}

/** What a client sent, proven. */
export interface Proven {
  readonly submission: Submission & { readonly action: "register" | "renew" | "leave" };
  readonly signature: string;
  /** DER of the certificate request; null when none was sent. */
  readonly csr: Buffer | null;
  /** Tickets of other addresses that it was observed at. */
  readonly observations: readonly string[];
}

/** True when the key made the signature; without a key the same work is done and it is not. */
export function isProven(submission: Submission, signature: string, key: string | null): boolean {
  const right = verifySubmission(submission, publicKeyFromRaw(key ?? DUMMY_KEY), signature);
  return right && key !== null;
}

/**
 * Checks a proof against its signer's key. A signer that is not there and a wrong proof cost the same work, count alike and are
 * refused in the same words.
 * @throws Problem proof_refused | proofs_limited
 */
export async function assertProven(
  request: FastifyRequest,
  { store, clock, attempts }: RegistrationParts,
  submission: Submission,
  signature: string,
  readKey: (db: Builder) => Command<string | null>,
): Promise<void> {
  const { signer } = submission;
  const attempt = { source: sourceOf(request), signer, now: clock.now() };
  const key = await store.read(function* (db) {
    yield* attempts.assertOpen(db, attempt);
    return yield* readKey(db);
  });
  if (isProven(submission, signature, key)) return;
  await attempts.countWrong(attempt);
  throw new Problem(
    401,
    "proof_refused",
    signer.startsWith("code:")
      ? "The proof is not right for this selector: check the security code."
      : "The proof is not right for this device: sign with the device's key.",
  );
}

/**
 * Stores a proven submission durably, and counts it unless it only gives access up; then answers with the outcome or, when that takes
 * longer, with 202.
 */
export async function submit(
  request: FastifyRequest,
  reply: FastifyReply,
  parts: RegistrationParts,
  { submission, signature, csr, observations }: Proven,
): Promise<unknown> {
  const { store, clock, outcomes, attempts } = parts;
  const idempotencyKey = parseIdempotencyKey(request.headers["idempotency-key"]);
  const receivedAt = clock.now();
  const { action, signer, addresses, deviceKey, nonce, time } = submission;
  const input = {
    id: newId(receivedAt),
    receivedAt,
    action,
    signer,
    submission: { addresses: [...addresses], deviceKey, nonce, time },
    signature,
    csr,
    observed: [observedAddress(request).address, ...observations.map((ticket) => parts.observations.read(ticket))],
    digest: submissionDigest(submission),
    idempotencyKey,
  };
  const seen = outcomes.wakes;
  const attempt = { source: sourceOf(request), signer, now: receivedAt };
  const { id, repeated } = await store.write(
    function* (db) {
      const accepted = yield* acceptSubmission(db, input, () => assertProofTime(time, receivedAt));
      if (!accepted.repeated && action !== "leave") yield* attempts.countRight(db, attempt);
      return accepted;
    },
    ["inbox"],
  );
  const told = await outcomes.wait(id, repeated ? null : seen, REGISTER.outcomeWaitMs);
  reply.header("location", `/v1/registrations/${id}`);
  if (told === null) return reply.code(202).send({ id, state: "stored" });
  return answer(reply, told.outcome, told.acknowledged);
}
