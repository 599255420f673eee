import { Problem } from "../../lib/problem.ts";
import type { Submission } from "../../lib/registration/submission.ts";
import { recordOutcome, takeFromInbox } from "../store/intake.ts";
import { prepared } from "../store/prepared.ts";
import { assertLead } from "../store/queries.ts";
import { type Builder, type Command, first, type Lead } from "../store/store.ts";
import { type Prepared, type Signed, signedNow, type Wanted } from "./certificates.ts";
import { permitLeave } from "./leave.ts";
import { permitReenroll } from "./reenroll.ts";
import { permitRegister } from "./register.ts";
import { permitRenew } from "./renew.ts";
import { makeRoom } from "./retention.ts";
import type { Act, Permit, Work } from "./work.ts";

/** What became of a submission; null when somebody else concluded it. */
export type Conclusion = {
  readonly status: number;
  readonly outcome: string;
  readonly device: string | null;
  readonly revision: number;
} | null;

/**
 * What a certificate would be signed for, before the transaction that decides. Reads only.
 * @returns null when none goes with the submission
 * @throws Problem why the transaction would refuse as things stand
 */
export function* previewSubmission(db: Builder, lead: Lead, work: Work): Command<Wanted | null> {
  return (yield* permitOf(work)(db, lead, work)).wants;
}

/**
 * Concludes a submission in one transaction: what it does, its revisions, audit entry and outcome, or a refusal that spends nothing.
 * Its nonce is used up either way. It looks at everything again, whatever was seen when its certificate was signed.
 * @throws Problem not_leading | certificate_stale
 */
export function* concludeSubmission(db: Builder, lead: Lead, work: Work, certificate: Prepared): Command<Conclusion> {
  yield* assertLead(db, lead);
  if (!(yield* takeFromInbox(db, work.id))) return null;
  let act: Act;
  let signed: Signed | null;
  try {
    yield* useNonce(db, work.submission);
    act = yield* permitOf(work)(db, lead, work);
    signed = yield* signedNow(db, certificate, act.wants);
  } catch (error) {
    if (error instanceof Problem && error.status < 500) return yield* refuse(db, work, error);
    throw error;
  }
  const { body, ...done } = yield* act.run(signed);
  const { status, device, revision } = done;
  if (done.outcome !== "registered") yield* makeRoom(db, device);
  yield* recordOutcome(db, {
    submission: work.id,
    at: work.now,
    status,
    body: JSON.stringify({ id: work.id, ...body }),
    device,
    revision,
  });
  return done;
}

/** Concludes a submission with a problem, in one transaction. Its nonce stays unused: its proof was not right. @throws Problem not_leading */
export function* concludeRefused(
  db: Builder,
  lead: Lead,
  { id, now, problem }: { readonly id: string; readonly now: number; readonly problem: Problem },
): Command<Conclusion> {
  yield* assertLead(db, lead);
  return (yield* takeFromInbox(db, id)) ? yield* refuse(db, { id, now }, problem) : null;
}

/** A code registers; a device, with the key it registered, does the rest. @throws Problem action_not_offered */
function permitOf({ submission: { action, signer }, shown }: Work): Permit {
  switch (action) {
    case "register":
      if (signer.startsWith("code:")) return permitRegister;
      break;
    case "renew":
      if (signer.startsWith("device:")) return permitRenew;
      break;
    case "leave":
      if (signer.startsWith("device:")) return permitLeave;
      break;
    case "reenroll":
      if (shown !== null) return permitReenroll;
      break;
    case "status":
      break;
    default:
      action satisfies never;
  }
  throw new Problem(422, "action_not_offered", "A security code registers devices and does nothing else; a device renews and leaves.");
}

function* refuse(db: Builder, { id, now }: Pick<Work, "id" | "now">, problem: Problem): Command<Conclusion> {
  const { status, code } = problem;
  yield* recordOutcome(db, { submission: id, at: now, status, body: JSON.stringify(problem), device: null, revision: 0 });
  return { status, outcome: code, device: null, revision: 0 };
}

const insertNonce = prepared((db, v: { signer: string; nonce: string; time: number }) =>
  db
    .insertInto("nonces")
    .values({ signer: v.signer, nonce: v.nonce, time: v.time })
    .onConflict((conflict) => conflict.columns(["signer", "nonce"]).doNothing())
    .returning("time"),
);

function* useNonce(db: Builder, { signer, nonce, time }: Submission): Command<void> {
  if ((yield* first(insertNonce(db, { signer, nonce, time }))) !== undefined) return;
  throw new Problem(409, "proof_replayed", "This proof came before: sign again with a new nonce, or repeat with the same Idempotency-Key.");
}
