import { asError } from "../../lib/as-error.ts";
import { Problem } from "../../lib/problem.ts";
import type { Submission } from "../../lib/registration/submission.ts";
import { recordOutcomes, takeFromInbox } from "../store/intake.ts";
import { preparedRows } from "../store/prepared.ts";
import { assertLead } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import type { Builder, Command, Lead } from "../store/store.ts";
import { type Signed, signedNow, standingOf, type Wanted } from "./certificates.ts";
import { permitLeave } from "./leave.ts";
import { permitReenroll } from "./reenroll.ts";
import { previewRegistrations, type Registering, registerAll } from "./register.ts";
import { permitRenew } from "./renew.ts";
import { makeRoom } from "./retention.ts";
import type { Act, Done, Permit, Work } from "./work.ts";

/** What became of a submission; null when somebody else concluded it. */
export type Conclusion = {
  readonly status: number;
  readonly outcome: string;
  readonly device: string | null;
  readonly revision: number;
} | null;

/** Whether it makes a device: what many of may be concluded together. */
export const isRegistration = ({ submission }: Work): boolean => submission.action === "register" && submission.signer.startsWith("code:");

/**
 * What certificates would be signed for, before the transactions that decide. Reads only.
 * @returns for each null when none goes with the submission, or why its transaction would refuse it as things stand
 */
export function* previewSubmissions(db: Builder, lead: Lead, works: readonly Work[]): Command<ReadonlyMap<Work, Wanted | null | Error>> {
  const wanted = new Map<Work, Wanted | null | Error>();
  const registrations = works.filter(isRegistration);
  for (const [index, each] of (yield* previewRegistrations(db, registrations)).entries()) wanted.set(registrations[index] as Work, each);
  for (const work of works) {
    if (wanted.has(work)) continue;
    try {
      wanted.set(work, (yield* permitOf(work)(db, lead, work)).wants);
    } catch (error) {
      wanted.set(work, asError(error));
    }
  }
  return wanted;
}

/**
 * Concludes a submission in one transaction: what it does, its revisions, audit entry and outcome, or a refusal that spends nothing.
 * Its nonce is used up either way. It looks at everything again, whatever was seen when its certificate was signed.
 * @throws Problem not_leading | certificate_stale
 */
export function* concludeSubmission(db: Builder, lead: Lead, { work, certificate }: Registering): Command<Conclusion> {
  if (isRegistration(work)) return (yield* concludeRegistrations(db, lead, [{ work, certificate }]))[0] ?? null;
  yield* assertLead(db, lead);
  if (!(yield* takeFromInbox(db, [work.id])).has(work.id)) return null;
  let act: Act;
  let signed: Signed | null;
  try {
    if ((yield* useNonces(db, [work.submission])).size === 0) throw replayed();
    act = yield* permitOf(work)(db, lead, work);
    signed = signedNow(certificate, act.wants, yield* standingOf(db, [certificate]));
  } catch (error) {
    if (error instanceof Problem && error.status < 500) return yield* refuse(db, work, error);
    throw error;
  }
  const { body, ...done } = yield* act.run(signed);
  yield* makeRoom(db, done.device);
  yield* recordOutcomes(db, [outcomeOf(work, { body, ...done })]);
  return done;
}

/**
 * As {@link concludeSubmission}, of many registrations: what Storage has one of for all of them, such as head and audit log, is read and
 * written once.
 * @returns what became of each; null where somebody else concluded it
 * @throws Problem not_leading | certificate_stale, and whatever keeps one of them from being concluded
 */
export function* concludeRegistrations(db: Builder, lead: Lead, registrations: readonly Registering[]): Command<readonly Conclusion[]> {
  yield* assertLead(db, lead);
  const taken = yield* takeFromInbox(
    db,
    registrations.map(({ work }) => work.id),
  );
  const mine = registrations.filter(({ work }) => taken.has(work.id));
  const unused = yield* useNonces(
    db,
    mine.map(({ work }) => work.submission),
  );
  const done = yield* registerAll(db, lead, mine, (work) => {
    if (!unused.has(work.submission)) throw replayed();
  });
  const conclusions = new Map<string, Conclusion>();
  const outcomes = mine.map(({ work }, index) => {
    const result = done[index];
    if (result === undefined) throw new Error("a registration without its result");
    if (result instanceof Problem) {
      const { outcome, conclusion } = refusal(work, result);
      conclusions.set(work.id, conclusion);
      return outcome;
    }
    const { body: _, ...conclusion } = result;
    conclusions.set(work.id, conclusion);
    return outcomeOf(work, result);
  });
  yield* recordOutcomes(db, outcomes);
  return registrations.map(({ work }) => conclusions.get(work.id) ?? null);
}

/** Concludes a submission with a problem, in one transaction. Its nonce stays unused: its proof was not right. @throws Problem not_leading */
export function* concludeRefused(
  db: Builder,
  lead: Lead,
  { id, now, problem }: { readonly id: string; readonly now: number; readonly problem: Problem },
): Command<Conclusion> {
  yield* assertLead(db, lead);
  return (yield* takeFromInbox(db, [id])).has(id) ? yield* refuse(db, { id, now }, problem) : null;
}

/** A code registers, which {@link concludeRegistrations} does; a device, with the key it registered, does the rest. @throws Problem action_not_offered */
function permitOf({ submission: { action, signer }, shown }: Work): Permit {
  switch (action) {
    case "register":
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
  const { outcome, conclusion } = refusal({ id, now }, problem);
  yield* recordOutcomes(db, [outcome]);
  return conclusion;
}

/** A refusal as it is stored, and as it is told. */
function refusal(
  { id, now }: Pick<Work, "id" | "now">,
  problem: Problem,
): { readonly outcome: Database["outcomes"]; readonly conclusion: NonNullable<Conclusion> } {
  const { status, code } = problem;
  return {
    outcome: { submission: id, at: now, status, body: JSON.stringify(problem), device: null, revision: 0 },
    conclusion: { status, outcome: code, device: null, revision: 0 },
  };
}

const outcomeOf = ({ id, now }: Pick<Work, "id" | "now">, { status, body, device, revision }: Done): Database["outcomes"] => ({
  submission: id,
  at: now,
  status,
  body: JSON.stringify({ id, ...body }),
  device,
  revision,
});

const insertNonces = preparedRows((db, rows: readonly Database["nonces"][]) =>
  db
    .insertInto("nonces")
    .values(rows.map((v) => ({ time: v.time, signer: v.signer, nonce: v.nonce })))
    .onConflict((conflict) => conflict.columns(["time", "signer", "nonce"]).doNothing())
    .returning(["time", "signer", "nonce"]),
);

/**
 * Uses up the submissions' nonces, each with the time that is signed with it: a proof that came before has both.
 * @returns those submissions whose nonce nobody had used; of two alike the first
 */
function* useNonces(db: Builder, submissions: readonly Submission[]): Command<ReadonlySet<Submission>> {
  const named = ({ time, signer, nonce }: Database["nonces"]) => `${time} ${signer} ${nonce}`;
  const used = new Set((yield* insertNonces(db, submissions)).map(named));
  return new Set(submissions.filter((submission) => used.delete(named(submission))));
}

const replayed = (): Problem =>
  new Problem(409, "proof_replayed", "This proof came before: sign again with a new nonce, or repeat with the same Idempotency-Key.");
