import type { Clock } from "../../lib/clock.ts";
import { FEED } from "../../lib/feed/limits.ts";
import { type Change, encode } from "../../lib/feed/messages.ts";
import { type Head, type RuleRow, readHead, readRules, readTrust } from "../store/queries.ts";
import { first, type Reader, type Store } from "../store/store.ts";

/** Trust entries in one chunk: each may carry a whole CA bundle. */
const TRUST_PER_CHUNK = 20;

type Send = (text: string) => Promise<void>;

/**
 * Sends everything that is in force at one revision, read page by page from a stable view.
 * @param send resolves when the message left this process, so that no more than one page is held for a slow agent
 * @returns the revision sent
 */
export async function sendSnapshot(store: Store, clock: Clock, send: Send): Promise<number> {
  await using view = await store.snapshot();
  const head: Head = await view.read(readHead);
  const counted = await view.read((db) => first(db.selectFrom("trust").select((trust) => trust.fn.countAll().as("n"))));
  const trust = Number(counted?.n ?? 0);
  await send(encode({ type: "snapshot.begin", epoch: head.epoch, revision: head.revision, rules: head.rules, trust }));
  await sendTrust(view, send);
  await sendRules(view, send);
  await send(encode({ type: "snapshot.end", revision: head.revision, digest: head.digest, time: clock.now() }));
  return head.revision;
}

async function sendRules(view: Reader, send: Send): Promise<void> {
  let last: RuleRow | null = null;
  do {
    const after: RuleRow | null = last;
    const rules: readonly RuleRow[] = await view.read((db) => readRules(db, { after, limit: FEED.maxRulesPerChunk }));
    const tuples = rules.map((rule): [RuleRow["lane"], string, number] => [rule.lane, rule.prefix, rule.expires_at]);
    if (tuples.length > 0) await send(encode({ type: "snapshot.chunk", rules: tuples, trust: [] }));
    last = rules.at(-1) ?? null;
  } while (last !== null);
}

async function sendTrust(view: Reader, send: Send): Promise<void> {
  type TrustSet = Extract<Change, { kind: "trust.set" }>;
  type Entry = Omit<TrustSet, "kind">;
  let last: Entry | null = null;
  do {
    const after: Entry | null = last;
    const entries: readonly Entry[] = await view.read((db) => readTrust(db, { after, limit: TRUST_PER_CHUNK }));
    const trust = entries.map((entry): TrustSet => ({ kind: "trust.set", ...entry }));
    if (trust.length > 0) await send(encode({ type: "snapshot.chunk", rules: [], trust }));
    last = entries.at(-1) ?? null;
  } while (last !== null);
}
