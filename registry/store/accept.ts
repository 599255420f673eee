import { hash } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import type { StoredSubmission } from "./intake.ts";
import { atMost, prepared, preparedRows } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command, first, type Topic } from "./store.ts";

/** How long a repeat under the same Idempotency-Key gets the first outcome. */
export const IDEMPOTENCY_MS = 15 * 60_000;

/** Submissions that wait for Process at most, some 50 MB: while it is down nobody fills Storage. */
export const MAX_INBOX = 50_000;

export interface NewSubmission {
  readonly id: string;
  readonly receivedAt: number;
  readonly action: Database["submissions"]["action"];
  readonly signer: string;
  readonly submission: StoredSubmission;
  readonly signature: string;
  /** DER of the certificate request; null when none was sent. */
  readonly csr: Uint8Array | null;
  /** Canonical addresses that the client was observed at, the peer's first. */
  readonly observed: readonly string[];
  /** Digest of the canonical submission: equal bodies have equal digests. */
  readonly digest: string;
  /** The code itself, sealed to control; null when the submission is signed. */
  readonly sealed: string | null;
  /** SHA-256, lower-case hex, of the client certificate that was seen, or whose key signed; null when another key signed, or the code is sealed. */
  readonly shown: string | null;
  /** As the client sent it; only its hash is stored. */
  readonly idempotencyKey: string | null;
}

const insertSubmissions = preparedRows((db, rows: readonly Database["submissions"][]) =>
  db.insertInto("submissions").values(
    rows.map((v) => ({
      id: v.id,
      received_at: v.received_at,
      action: v.action,
      signer: v.signer,
      submission: v.submission,
      signature: v.signature,
      csr: v.csr,
      observed: v.observed,
      digest: v.digest,
      idempotency: v.idempotency,
    })),
  ),
);
const insertInbox = preparedRows((db, rows: readonly Database["inbox"][]) =>
  db
    .insertInto("inbox")
    .values(rows.map((v) => ({ submission: v.submission, received_at: v.received_at, sealed: v.sealed, shown: v.shown }))),
);
/** Counts no further than the bound, and an inbox that Process keeps up with is nearly empty. */
const countInbox = prepared((db, v: { most: number }) =>
  db
    .selectFrom(db.selectFrom("inbox").select("submission").limit(atMost(v.most)).as("waiting"))
    .select((eb) => eb.fn.countAll<number>().as("n")),
);
const selectByKey = prepared((db, v: { idempotency: string }) =>
  db.selectFrom("submissions").select(["id", "digest", "received_at"]).where("idempotency", "=", v.idempotency),
);
const forgetKey = prepared((db, v: { id: string }) => db.updateTable("submissions").set({ idempotency: null }).where("id", "=", v.id));

/** Where a submission stands, and whether it stood there before. */
export interface Accepted {
  readonly id: string;
  readonly repeated: boolean;
}

export interface AcceptRules<S> {
  /** Asked of a submission that is no repeat: null, or why it is kept out. */
  untimely(submission: S): Problem | null;
  /** Counts submissions that are to be stored against limits. @returns for each null, or why it is kept out */
  count(db: Builder, submissions: readonly S[]): Command<readonly (Problem | null)[]>;
  /** Submissions that may wait. */
  readonly most: number;
}

/** What storing a submission wakes. */
export const wakesOf = ({ csr }: Pick<NewSubmission, "csr">): readonly Topic[] => (csr === null ? ["inbox"] : ["requests"]);

/**
 * Stores submissions for Process, in the order they came. Write it with {@link wakesOf}.
 * A repeat under its Idempotency-Key stores nothing and leads to the first one; an old key is forgotten and counts as new.
 * @returns for each the id under which it stands, or a Problem: idempotency_key_reused | inbox_full, or a rule's own
 */
export function* acceptSubmissions<S extends NewSubmission>(
  db: Builder,
  submissions: readonly S[],
  rules: AcceptRules<S>,
): Command<readonly (Accepted | Problem)[]> {
  const results = new Map<S, Accepted | Problem>();
  for (let left = submissions; left.length > 0; ) {
    // Of those under one key the next is looked at when it is known whether the first stands.
    const keys = new Set<string>();
    const [round, later]: [S[], S[]] = [[], []];
    for (const submission of left) {
      const { idempotencyKey } = submission;
      (idempotencyKey !== null && keys.has(idempotencyKey) ? later : round).push(submission);
      if (idempotencyKey !== null) keys.add(idempotencyKey);
    }
    yield* acceptRound(db, round, rules, results);
    left = later;
  }
  return submissions.map((submission) => results.get(submission) as Accepted | Problem);
}

/** Submissions of which no two have the same key. */
function* acceptRound<S extends NewSubmission>(
  db: Builder,
  submissions: readonly S[],
  rules: AcceptRules<S>,
  results: Map<S, Accepted | Problem>,
): Command<void> {
  const expired = new Map<S, string>();
  const fresh: S[] = [];
  for (const submission of submissions) {
    const earlier = yield* underItsKey(db, submission);
    const current = earlier !== undefined && submission.receivedAt - earlier.received_at <= IDEMPOTENCY_MS;
    if (earlier !== undefined && !current) expired.set(submission, earlier.id);
    const problem = current ? null : rules.untimely(submission);
    if (current) results.set(submission, earlier.digest === submission.digest ? { id: earlier.id, repeated: true } : keyReused());
    else if (problem !== null) results.set(submission, problem);
    else fresh.push(submission);
  }
  for (const submission of fresh.splice(yield* roomFor(db, fresh.length, rules.most))) results.set(submission, inboxFull());
  const refusals = yield* rules.count(db, fresh);
  const stored = fresh.filter((_, index) => refusals[index] === null);
  for (const [index, submission] of fresh.entries()) results.set(submission, refusals[index] ?? { id: submission.id, repeated: false });
  for (const submission of stored) {
    const id = expired.get(submission);
    if (id !== undefined) yield* all(forgetKey(db, { id }));
  }
  yield* insertSubmissions(db, stored.map(submissionRow));
  yield* insertInbox(
    db,
    stored.map(({ id, receivedAt, sealed, shown }) => ({ submission: id, received_at: receivedAt, sealed, shown })),
  );
}

function* underItsKey(
  db: Builder,
  { idempotencyKey }: NewSubmission,
): Command<{ id: string; digest: string; received_at: number } | undefined> {
  return idempotencyKey === null ? undefined : yield* first(selectByKey(db, { idempotency: hash("sha256", idempotencyKey) }));
}

function* roomFor(db: Builder, wanted: number, most: number): Command<number> {
  if (wanted === 0) return 0;
  const waiting = Number((yield* first(countInbox(db, { most })))?.n ?? 0);
  return Math.max(0, most - waiting);
}

const submissionRow = (input: NewSubmission): Database["submissions"] => ({
  id: input.id,
  received_at: input.receivedAt,
  action: input.action,
  signer: input.signer,
  submission: JSON.stringify(input.submission),
  signature: input.signature,
  csr: input.csr,
  observed: input.observed.join(","),
  digest: input.digest,
  idempotency: input.idempotencyKey === null ? null : hash("sha256", input.idempotencyKey),
});

const keyReused = (): Problem =>
  new Problem(422, "idempotency_key_reused", "This Idempotency-Key came with another body before: make a new one for a new body.");
const inboxFull = (): Problem => new Problem(503, "inbox_full", "Too many submissions wait: nothing was stored. Try again later.");
