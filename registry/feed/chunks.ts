import { type Change, encode } from "../../lib/feed/messages.ts";
import { type RuleRow, readRules, readTrust } from "../store/queries.ts";
import type { Reader } from "../store/store.ts";

/** Rules in one chunk: small enough that a slow link shows life between two chunks. */
const RULES_PER_CHUNK = 2_000;
const TRUST_PER_PAGE = 100;
/** Trust entries share a chunk up to this many characters; a larger one has its own. */
const TRUST_CHARS = 64 << 10;
/** What an entry costs beside its body and id; it also keeps the entries of a chunk below the wire's bound. */
const ENTRY_CHARS = 80;
type TrustSet = Extract<Change, { kind: "trust.set" }>;

/** All rules of a view, as ready messages. */
export async function* ruleChunks(view: Reader): AsyncGenerator<string> {
  let last: RuleRow | null = null;
  do {
    const after: RuleRow | null = last;
    const rules: readonly RuleRow[] = await view.read((db) => readRules(db, { after, limit: RULES_PER_CHUNK }));
    const tuples = rules.map((rule): [RuleRow["lane"], string, number] => [rule.lane, rule.prefix, rule.expires_at]);
    if (tuples.length > 0) yield encode({ type: "snapshot.chunk", rules: tuples, trust: [] });
    last = rules.length < RULES_PER_CHUNK ? null : (rules.at(-1) ?? null);
  } while (last !== null);
}

/** All trust of a view, as ready messages. */
export async function* trustChunks(view: Reader): AsyncGenerator<string> {
  let last: TrustSet | null = null;
  let chunk: TrustSet[] = [];
  let chars = 0;
  do {
    const after: TrustSet | null = last;
    const rows: readonly Omit<TrustSet, "kind">[] = await view.read((db) => readTrust(db, { after, limit: TRUST_PER_PAGE }));
    const page: readonly TrustSet[] = rows.map((row) => ({ kind: "trust.set", ...row }));
    for (const entry of page) {
      const size = entry.body.length + entry.id.length + ENTRY_CHARS;
      if (chunk.length > 0 && chars + size > TRUST_CHARS) {
        yield encode({ type: "snapshot.chunk", rules: [], trust: chunk });
        chunk = [];
        chars = 0;
      }
      chunk.push(entry);
      chars += size;
    }
    last = page.length < TRUST_PER_PAGE ? null : (page.at(-1) ?? null);
  } while (last !== null);
  if (chunk.length > 0) yield encode({ type: "snapshot.chunk", rules: [], trust: chunk });
}
