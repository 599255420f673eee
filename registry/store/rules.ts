import type { Change } from "../../lib/feed/messages.ts";
import { parsePrefix, prefixBytes } from "../../lib/ip.ts";
import type { RuleLane } from "../../lib/service.ts";
import { prepared, preparedRows } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command } from "./store.ts";

/** What names a rule. */
export interface RuleKey {
  readonly lane: RuleLane;
  readonly prefix: string;
}

export const ruleName = ({ lane, prefix }: RuleKey): string => `${lane} ${prefix}`;

/** Of one lane, whose name each row carries. */
const selectRules = preparedRows((db, rows: readonly [RuleKey, ...RuleKey[]]) =>
  db
    .selectFrom("rules")
    .select(["lane", "prefix", "expires_at"])
    .where("lane", "=", rows[0].lane)
    .where(
      "prefix",
      "in",
      rows.map((row) => row.prefix),
    ),
);
const upsertRules = preparedRows((db, rows: readonly Database["rules"][]) =>
  db
    .insertInto("rules")
    .values(rows.map((v) => ({ lane: v.lane, prefix: v.prefix, bytes: v.bytes, expires_at: v.expires_at })))
    .onConflict((conflict) => conflict.columns(["lane", "prefix"]).doUpdateSet((eb) => ({ expires_at: eb.ref("excluded.expires_at") }))),
);
const deleteRule = prepared((db, v: RuleKey) => db.deleteFrom("rules").where("lane", "=", v.lane).where("prefix", "=", v.prefix));

/** The effective rules' expiries as they stand, by {@link ruleName}; those that are not there are not in it. */
export function* ruleExpiries(db: Builder, keys: readonly RuleKey[]): Command<Map<string, number>> {
  const found = new Map<string, number>();
  for (const lane of ["ip", "ipcert"] as const) {
    const own = keys.filter((key) => key.lane === lane);
    for (const row of yield* selectRules(db, own)) found.set(ruleName(row), row.expires_at);
  }
  return found;
}

/** The rules that changes are about: read once, changed one by one, written once. */
export class RuleTable {
  readonly #expiries: Map<string, number>;
  readonly #changed = new Map<string, RuleKey & { readonly expiresAt: number | null }>();
  /** How many rules there are in all. */
  size: number;

  private constructor(expiries: Map<string, number>, size: number) {
    this.#expiries = expiries;
    this.size = size;
  }

  static *open(db: Builder, changes: readonly Change[], size: number): Command<RuleTable> {
    const keys = changes.filter((change) => change.kind === "rule.set" || change.kind === "rule.remove");
    return new RuleTable(yield* ruleExpiries(db, keys), size);
  }

  /** Gives a rule another end, null for none at all. @returns the one before, null when there was none */
  replace(lane: RuleLane, prefix: string, expiresAt: number | null): number | null {
    const name = ruleName({ lane, prefix });
    const before = this.#expiries.get(name) ?? null;
    if (expiresAt === null) this.#expiries.delete(name);
    else this.#expiries.set(name, expiresAt);
    this.size += (expiresAt === null ? 0 : 1) - (before === null ? 0 : 1);
    this.#changed.set(name, { lane, prefix, expiresAt });
    return before;
  }

  *write(db: Builder): Command<void> {
    const rows: Database["rules"][] = [];
    for (const { lane, prefix, expiresAt } of this.#changed.values()) {
      if (expiresAt === null) yield* all(deleteRule(db, { lane, prefix }));
      else rows.push({ lane, prefix, bytes: prefixBytes(parsePrefix(prefix)), expires_at: expiresAt });
    }
    yield* upsertRules(db, rows);
  }
}
