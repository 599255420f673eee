import type { KeyObject } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../lib/clock.ts";
import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import type { Proofs, Signed } from "../../lib/registration/proofs.ts";
import { type Submission, verifySubmission } from "../../lib/registration/submission.ts";
import { type Accepted, wakesOf } from "../store/accept.ts";
import { newId } from "../store/id.ts";
import type { Builder, Command, Store, Together } from "../store/store.ts";
import type { Accepting } from "./accepting.ts";
import { answer } from "./answer.ts";
import type { Attempt, Attempts } from "./attempts.ts";
import { parseIdempotencyKey } from "./body.ts";
import type { CodeKeys } from "./code-keys.ts";
import { DUMMY_KEY } from "./dummy.ts";
import { REGISTER } from "./limits.ts";
import type { Observations } from "./observation.ts";
import type { Outcomes, Told } from "./outcomes.ts";
import { observedAddress, sourceOf } from "./source.ts";

export interface RegistrationParts {
  /** The registry's name, part of every proof. */
  readonly registry: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly outcomes: Outcomes;
  readonly observations: Observations;
  readonly attempts: Attempts;
  readonly codeKeys: CodeKeys;
  /** Stores submissions that come together in one go; see `accepting`. */
  readonly accept: Together<Accepting, Accepted>;
  readonly proofs: Proofs;
  /** Control's: what is sealed to it, register itself cannot read any more. */
  readonly sealing: KeyObject;
}

/** What a client sent, proven. */
export interface Proven {
  readonly submission: Submission & { readonly action: "register" | "renew" | "leave" | "reenroll" };
  readonly signature: string;
  /** DER of the certificate request; null when none was sent. */
  readonly csr: Buffer | null;
  /** The code itself, sealed to control, where there is no signature. */
  readonly sealed: string | null;
  /** SHA-256, lower-case hex, of the client certificate that was seen, where there is neither, or whose key signed. */
  readonly shown: string | null;
  /** What is equal for equal bodies under one Idempotency-Key. */
  readonly digest: string;
  /** Tickets of other addresses that it was observed at. */
  readonly observations: readonly string[];
}

/** True when the key made the signature; without a key the same work is done and it is not. */
export function isProven(submission: Submission, signature: string, key: string | null): boolean {
  const right = verifySubmission(submission, publicKeyFromRaw(key ?? DUMMY_KEY), signature);
  return right && key !== null;
}

/** @param findKey as `find` of {@link assertKnown} @throws Problem as {@link assertKnown} */
export async function assertProven(
  request: FastifyRequest,
  parts: RegistrationParts,
  signed: Signed,
  findKey: (attempt: Attempt) => Promise<string | null>,
): Promise<void> {
  const { proofs } = parts;
  await assertKnown(request, parts, signed.signer, findKey, (key) => {
    const right = proofs.isSignedRight(signed, key ?? DUMMY_KEY);
    return right && key !== null;
  });
}

/** Finds by a command of its own what Storage holds of a signer, if a proof may be tried at all. */
export const lookedUp =
  <K>({ store, attempts }: RegistrationParts, read: (db: Builder) => Command<K>) =>
  (attempt: Attempt): Promise<K> =>
    store.read(function* (db) {
      yield* attempts.assertOpen(db, attempt);
      return yield* read(db);
    });

/**
 * Checks what a signer showed against what Storage holds of it. A signer that is not there and a wrong proof cost the same work, count
 * alike and are refused in the same words.
 * @param find what Storage holds of the signer, unless too many wrong proofs came before: {@link lookedUp}, or what does as much
 * @returns what was found
 * @throws Problem proof_refused | proofs_limited
 */
export async function assertKnown<K>(
  request: FastifyRequest,
  { clock, attempts }: RegistrationParts,
  signer: string,
  find: (attempt: Attempt) => Promise<K>,
  isRight: (found: K) => boolean,
): Promise<K> {
  const attempt = { source: sourceOf(request), signer, now: clock.now() };
  const found = await find(attempt);
  if (isRight(found)) return found;
  await attempts.countWrong(attempt);
  throw new Problem(
    401,
    "proof_refused",
    signer.startsWith("code:")
      ? "The proof is not right for this selector: check the security code."
      : "The proof is not right for this device: sign with the device's key.",
  );
}

/** Stores a proven submission and answers with its outcome or, when that takes longer, with 202. */
export async function submit(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts, proven: Proven): Promise<unknown> {
  const { id, told } = await accept(request, parts, proven, parseIdempotencyKey(request.headers["idempotency-key"]));
  reply.header("location", `/v1/registrations/${id}`);
  if (told === null) return reply.code(202).send({ id, state: "stored" });
  return answer(reply, told.outcome, told.acknowledged);
}

/**
 * Stores a proven submission durably, and counts it unless it only gives access up.
 * @returns its id and its outcome; null when that takes longer than {@link REGISTER.outcomeWaitMs}
 * @throws Problem idempotency_key_reused | proof_time | observation_refused | registrations_limited
 */
export async function accept(
  request: FastifyRequest,
  parts: RegistrationParts,
  { submission, signature, csr, sealed, shown, digest, observations }: Proven,
  idempotencyKey: string | null,
): Promise<{ readonly id: string; readonly told: Told | null }> {
  const { store, clock, outcomes } = parts;
  const receivedAt = clock.now();
  const { action, signer, addresses, deviceKey, nonce, time } = submission;
  const seen = outcomes.wakes;
  const tickets = observations.map((ticket) => parts.observations.read(ticket));
  const input: Accepting = {
    id: newId(receivedAt),
    receivedAt,
    action,
    signer,
    submission: { addresses: [...addresses], deviceKey, nonce, time },
    signature,
    csr,
    observed: [observedAddress(request).address, ...tickets.map(({ address }) => address)],
    sealed,
    shown,
    digest,
    idempotencyKey,
    source: sourceOf(request),
    tickets,
  };
  const { id, repeated } = await store.writeTogether(parts.accept, input, wakesOf(input));
  return { id, told: await outcomes.wait(id, repeated ? null : seen, REGISTER.outcomeWaitMs) };
}
