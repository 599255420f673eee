import { ruleLine, StateDigest, trustLine } from "../../lib/feed/digest.ts";
import type { Change, TrustTarget } from "../../lib/feed/messages.ts";
import { Problem } from "../../lib/problem.ts";
import type { RuleLane } from "../../lib/service.ts";
import { atMost, prepared, preparedRows } from "./prepared.ts";
import { RuleTable } from "./rules.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command, first, type Lead, type Store } from "./store.ts";
import { TrustTable } from "./trust.ts";

export { appendAudit, verifyAudit } from "./audit.ts";

/** The change log keeps this many of the newest revisions; an agent further behind gets a snapshot. */
export const CHANGES_KEPT = 100_000;

/** What is in force. */
export interface Head {
  readonly epoch: string;
  readonly term: number;
  readonly revision: number;
  /** Digest of all rules and trust entries (StateDigest). */
  readonly digest: string;
  /** Number of rules. */
  readonly rules: number;
}

export interface RuleRow {
  readonly lane: RuleLane;
  readonly prefix: string;
  readonly expires_at: number;
}

const selectHead = prepared((db) => db.selectFrom("head").select(["epoch", "term", "revision", "digest", "rules"]).where("id", "=", 1));

export function* readHead(db: Builder): Command<Head> {
  const head = yield* first(selectHead(db, {}));
  if (head === undefined) throw new Error("Storage has no head");
  return head;
}

const selectChanges = prepared((db, v: { after: number; limit: number }) =>
  db.selectFrom("changes").select(["revision", "body"]).where("revision", ">", v.after).orderBy("revision").limit(atMost(v.limit)),
);

/** The changes behind revision `after`, oldest first; `body` is the change as JSON. Older ones than the log keeps are not there. */
export function readChanges(
  db: Builder,
  page: { readonly after: number; readonly limit: number },
): Command<{ revision: number; body: string }[]> {
  return all(selectChanges(db, page));
}

const selectDigest = prepared((db, v: { revision: number }) =>
  db.selectFrom("changes").select("digest").where("revision", "=", v.revision),
);

/** The digest of everything in force at a revision; null when the log does not reach it. */
export function* readDigestAt(db: Builder, revision: number): Command<string | null> {
  const head = yield* readHead(db);
  if (revision === head.revision) return head.digest;
  return (yield* first(selectDigest(db, { revision })))?.digest ?? null;
}

/** Rules in the order of their key, the first page after `null`. */
export function readRules(
  db: Builder,
  { after, limit }: { readonly after: { lane: RuleLane; prefix: string } | null; readonly limit: number },
): Command<RuleRow[]> {
  const rules = db.selectFrom("rules").select(["lane", "prefix", "expires_at"]).orderBy("lane").orderBy("prefix").limit(limit);
  if (after === null) return all(rules);
  return all(rules.where(({ eb, refTuple, tuple }) => eb(refTuple("lane", "prefix"), ">", tuple(after.lane, after.prefix))));
}

/** Trust entries in the order of their key, the first page after `null`. */
export function readTrust(
  db: Builder,
  { after, limit }: { readonly after: { target: TrustTarget; id: string } | null; readonly limit: number },
): Command<{ target: TrustTarget; id: string; body: string }[]> {
  const trust = db.selectFrom("trust").select(["target", "id", "body"]).orderBy("target").orderBy("id").limit(limit);
  if (after === null) return all(trust);
  return all(
    trust.where(({ eb, or, and }) =>
      or([eb("target", ">", after.target), and([eb("target", "=", after.target), eb("id", ">", after.id)])]),
    ),
  );
}

/** Takes the lead from whoever has it: from now on only writes with this term pass {@link assertLead}. */
export function takeLead(store: Store, now: number): Promise<Lead> {
  return store.write(function* (db) {
    const head = yield* first(
      db
        .updateTable("head")
        .set((eb) => ({ term: eb("term", "+", 1) }))
        .where("id", "=", 1)
        .returning("term"),
    );
    if (head === undefined) throw new Error("Storage has no head");
    const lead = { term: head.term };
    yield* all(
      db
        .insertInto("meta")
        .values({ key: "lead", value: JSON.stringify({ ...lead, since: now }) })
        .onConflict((conflict) => conflict.column("key").doUpdateSet((eb) => ({ value: eb.ref("excluded.value") }))),
    );
    return lead;
  });
}

const selectTerm = prepared((db) => db.selectFrom("head").select("term").where("id", "=", 1));

/** Every write of derived tables begins with this, in its own transaction. @throws Problem not_leading */
export function* assertLead(db: Builder, lead: Lead): Command<void> {
  const head = yield* first(selectTerm(db, {}));
  if (head?.term !== lead.term) {
    throw new Problem(503, "not_leading", "Another replica of the registry leads now; nothing of this was done. Try again.");
  }
}

const insertChanges = preparedRows((db, rows: readonly Database["changes"][]) =>
  db.insertInto("changes").values(rows.map((v) => ({ revision: v.revision, at: v.at, body: v.body, digest: v.digest }))),
);
/** Lets the oldest part of the change log go, up to that revision: agents behind it get a snapshot. */
export function* forgetChanges(db: Builder, last: number): Command<void> {
  yield* all(trimChanges(db, { last }));
}

const trimChanges = prepared((db, v: { last: number }) => db.deleteFrom("changes").where("revision", "<=", v.last));
const updateHead = prepared((db, v: { revision: number; digest: string; rules: number }) =>
  db.updateTable("head").set({ revision: v.revision, digest: v.digest, rules: v.rules }).where("id", "=", 1),
);

/**
 * Makes changes the next revisions, one each and without gaps: rules, trust, change log and head change together.
 * @returns the head's revision afterwards; unchanged when there are no changes
 * @throws Problem not_leading
 */
export function* commitChanges(
  db: Builder,
  lead: Lead,
  { changes, now }: { readonly changes: readonly Change[]; readonly now: number },
): Command<{ revision: number }> {
  const [revision] = yield* commitEach(db, lead, { parts: [changes], now });
  return { revision: revision as number };
}

/**
 * As {@link commitChanges}, for parts of which each wants to know its own revision.
 * @returns the head's revision after each part
 */
export function* commitEach(
  db: Builder,
  lead: Lead,
  { parts, now }: { readonly parts: readonly (readonly Change[])[]; readonly now: number },
): Command<readonly number[]> {
  yield* assertLead(db, lead);
  const head = yield* readHead(db);
  let { revision } = head;
  const changes = parts.flat();
  if (changes.length === 0) return parts.map(() => revision);
  const digest = new StateDigest(head.digest);
  const state = { digest, rules: yield* RuleTable.open(db, changes, head.rules), trust: yield* TrustTable.open(db, changes) };
  const logged: Database["changes"][] = [];
  const revisions: number[] = [];
  for (const part of parts) {
    for (const change of part) {
      revision++;
      apply(change, state);
      logged.push({ revision, at: now, body: JSON.stringify(change), digest: digest.hex });
    }
    revisions.push(revision);
  }
  yield* state.rules.write(db);
  yield* state.trust.write(db);
  yield* insertChanges(db, logged);
  yield* all(trimChanges(db, { last: revision - CHANGES_KEPT }));
  yield* all(updateHead(db, { revision, digest: digest.hex, rules: state.rules.size }));
  return revisions;
}

interface State {
  readonly digest: StateDigest;
  readonly rules: RuleTable;
  readonly trust: TrustTable;
}

function apply(change: Change, { digest, rules, trust }: State): void {
  switch (change.kind) {
    case "rule.set":
    case "rule.remove": {
      const { lane, prefix } = change;
      const expiresAt = change.kind === "rule.set" ? change.expiresAt : null;
      const before = rules.replace(lane, prefix, expiresAt);
      if (before !== null) digest.remove(ruleLine(lane, prefix, before));
      if (expiresAt !== null) digest.add(ruleLine(lane, prefix, expiresAt));
      return;
    }
    case "trust.set":
    case "trust.remove": {
      const { target, id } = change;
      const before = trust.replace(change, change.kind === "trust.set" ? change.body : null);
      if (before !== null) digest.remove(trustLine({ kind: "trust.set", target, id, body: before }));
      if (change.kind === "trust.set") digest.add(trustLine(change));
      return;
    }
    default:
      change satisfies never;
  }
}

const updateAck = prepared((db, v: { name: string; revision: number; seenAt: number }) =>
  db.updateTable("agents").set({ acked_revision: v.revision, seen_at: v.seenAt }).where("name", "=", v.name),
);

/** Notes what agents hold. An agent that began anew may hold less than before. Agents that are not enrolled are passed over. */
export function* recordAcks(
  db: Builder,
  acks: readonly { readonly name: string; readonly revision: number; readonly seenAt: number }[],
): Command<void> {
  for (const ack of acks) yield* all(updateAck(db, ack));
}
