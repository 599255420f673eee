import type { Clock } from "../../lib/clock.ts";
import { FEED } from "../../lib/feed/limits.ts";
import { encode } from "../../lib/feed/messages.ts";
import { readHead, readRules } from "../store/queries.ts";
import type { Store } from "../store/store.ts";

/**
 * Sends everything that is in force at one revision, read page by page from a stable view.
 * @param send resolves when the message left this process, so that no more than one page is held for a slow agent
 * @returns the revision sent
 */
export async function sendSnapshot(store: Store, clock: Clock, send: (text: string) => Promise<void>): Promise<number> {
  await using view = await store.snapshot();
  const head = await view.read(readHead);
  await send(encode({ type: "snapshot.begin", epoch: head.epoch, revision: head.revision, rules: head.rules, trust: 0 }));
  for (let after: { lane: "ip" | "ipcert"; prefix: string } | null = null; ; ) {
    const from = after;
    const rules = await view.read((db) => readRules(db, { after: from, limit: FEED.maxRulesPerChunk }));
    const last = rules.at(-1);
    if (last === undefined) break;
    const tuples = rules.map((rule): [typeof rule.lane, string, number] => [rule.lane, rule.prefix, rule.expires_at]);
    await send(encode({ type: "snapshot.chunk", rules: tuples, trust: [] }));
    after = { lane: last.lane, prefix: last.prefix };
  }
  await send(encode({ type: "snapshot.end", revision: head.revision, digest: head.digest, time: clock.now() }));
  return head.revision;
}
