import { sql } from "kysely";
import type { Grant, Page } from "../../lib/admin/api.ts";
import type { Change } from "../../lib/feed/messages.ts";
import { type Prefix, prefixBytes } from "../../lib/ip.ts";
import type { RuleLane } from "../../lib/service.ts";
import { effectiveExpiry, ruleChange } from "../rules/effective.ts";
import { prepared, preparedRows } from "../store/prepared.ts";
import { type RuleKey, ruleExpiries, ruleName } from "../store/rules.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command } from "../store/store.ts";
import { trustBody } from "../store/trust.ts";
import { settleCrowd } from "./crowds.ts";
import { assertLimit, type PageRequest, pageOf } from "./paging.ts";

const insertGrants = preparedRows((db, rows: readonly (Omit<NewGrant, "prefix"> & { prefix: string; bytes: Uint8Array })[]) =>
  db.insertInto("grants").values(
    rows.map((v) => ({
      id: v.id,
      device: v.device,
      lane: v.lane,
      prefix: v.prefix,
      bytes: v.bytes,
      created_at: v.createdAt,
      expires_at: v.expiresAt,
      ended_at: null,
      end_reason: null,
    })),
  ),
);

export interface NewGrant {
  readonly id: string;
  readonly device: string;
  readonly lane: RuleLane;
  readonly prefix: Prefix;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Stores grants; the rules that follow from them are {@link settleGrants}'. */
export function* addGrants(db: Builder, grants: readonly NewGrant[]): Command<void> {
  yield* insertGrants(
    db,
    grants.map(({ prefix, ...grant }) => ({ ...grant, prefix: prefix.text, bytes: prefixBytes(prefix) })),
  );
}

const selectLive = prepared((db, v: { device: string; now: number }) =>
  db
    .selectFrom("grants")
    .select(["id", "lane", "prefix"])
    .where("device", "=", v.device)
    .where("ended_at", "is", null)
    .where("expires_at", ">", v.now),
);

/** What a device holds at this moment. A grant whose time has come holds nothing, whether it was ended yet or not. */
export function liveGrants(
  db: Builder,
  { device, now }: { readonly device: string; readonly now: number },
): Command<Pick<Database["grants"], "id" | "lane" | "prefix">[]> {
  return all(selectLive(db, { device, now }));
}

const setExpiry = prepared((db, v: { id: string; expiresAt: number }) =>
  db.updateTable("grants").set({ expires_at: v.expiresAt }).where("id", "=", v.id),
);

/** Gives a live grant another end; the rule that follows from it is {@link settleGrants}'. */
export function* extendGrant(db: Builder, { id, expiresAt }: { readonly id: string; readonly expiresAt: number }): Command<void> {
  yield* all(setExpiry(db, { id, expiresAt }));
}

const endGrantRow = prepared((db, v: { id: string; endedAt: number; reason: "expired" | "revoked" | "left" }) =>
  db.updateTable("grants").set({ ended_at: v.endedAt, end_reason: v.reason }).where("id", "=", v.id),
);

export interface EndingGrant {
  readonly id: string;
  readonly device: string;
  readonly lane: RuleLane;
  readonly prefix: string;
  readonly endedAt: number;
}

/** Ends grants and tells what changes in the effective rules and bindings, each once. */
export function* endGrants(
  db: Builder,
  grants: readonly EndingGrant[],
  { reason, now }: { readonly reason: "expired" | "revoked" | "left"; readonly now: number },
): Command<Change[]> {
  const [touched, bound] = [new Map<string, EndingGrant>(), new Map<string, EndingGrant>()];
  for (const grant of grants) {
    yield* all(endGrantRow(db, { id: grant.id, endedAt: grant.endedAt, reason }));
    touched.set(ruleName(grant), grant);
    if (grant.lane === "ipcert") bound.set(bindingId(grant.device, grant.prefix), grant);
  }
  const changes: (Change | null)[] = [...(yield* settleRules(db, [...touched.values()], now))];
  for (const { device, prefix } of bound.values()) changes.push(yield* settleBinding(db, device, prefix, now));
  return changes.filter((change) => change !== null);
}

/** Of each prefix's grants the one that lives longest: it alone decides, however many devices stand behind the prefix. One row, a column each. */
const selectLongest = preparedRows((db, rows: readonly RuleKey[]) =>
  db.selectNoFrom((eb) =>
    rows.map((v, at) =>
      eb
        .selectFrom("grants")
        .select("expires_at")
        .where("lane", "=", v.lane)
        .where("prefix", "=", v.prefix)
        .where("ended_at", "is", null)
        .orderBy("expires_at", "desc")
        .limit(sql.lit(1))
        .as(`at${at}`),
    ),
  ),
);

/** When the grant of each prefix ends that lives longest; null where there is none. */
function* longestOf(db: Builder, keys: readonly RuleKey[]): Command<(number | null)[]> {
  const rows = yield* selectLongest(db, keys);
  return rows.flatMap((row) => Object.values(row)).map((expiresAt) => (expiresAt === null ? null : Number(expiresAt)));
}

/**
 * What must change for the effective rules of prefixes to follow their grants, for each of them; null where one does already, as it does
 * for the second of two that are alike.
 */
function* settleRules(db: Builder, keys: readonly RuleKey[], now: number): Command<(Change | null)[]> {
  const expiries = yield* ruleExpiries(db, keys);
  const longest = yield* longestOf(db, keys);
  const crowds = new Map<string, RuleKey>();
  const changes: (Change | null)[] = [];
  for (const [index, key] of keys.entries()) {
    const { lane, prefix } = key;
    const name = ruleName(key);
    const before = expiries.get(name) ?? null;
    // A prefix that had no rule is one device's now.
    if (before !== null) crowds.set(name, key);
    const expiresAt = longest[index] ?? null;
    const after = effectiveExpiry(expiresAt === null ? [] : [{ expiresAt, endedAt: null }], now);
    if (after === null) expiries.delete(name);
    else expiries.set(name, after);
    changes.push(ruleChange(lane, prefix, before, after));
  }
  for (const { lane, prefix } of crowds.values()) yield* settleCrowd(db, lane, prefix, now);
  return changes;
}

/** A grant that was made or changed. */
export interface Settling extends RuleKey {
  readonly device: string;
}

/** What grants that were made or changed change for the agents, grant by grant: its rule, and for pattern `both` its binding. */
export function* settleGrants(db: Builder, grants: readonly Settling[], now: number): Command<Change[][]> {
  const rules = yield* settleRules(db, grants, now);
  const changes: Change[][] = [];
  for (const [index, { device, lane, prefix }] of grants.entries()) {
    const binding = lane === "ipcert" ? yield* settleBinding(db, device, prefix, now) : null;
    changes.push([rules[index] ?? null, binding].filter((change) => change !== null));
  }
  return changes;
}

const bindingId = (device: string, prefix: string): string => `${device} ${prefix}`;

const selectLongestBinding = prepared((db, v: { device: string; prefix: string }) =>
  db
    .selectFrom("grants")
    .select("expires_at")
    .where("device", "=", v.device)
    // Written out, so that the index over bindings alone is used.
    .where(sql<boolean>`lane <> 'ip'`)
    .where("prefix", "=", v.prefix)
    .where("ended_at", "is", null)
    .orderBy("expires_at", "desc")
    .limit(sql.lit(1)),
);

/** As {@link settleRules}, for which device holds a prefix: that device's grants alone decide. */
function* settleBinding(db: Builder, device: string, prefix: string, now: number): Command<Change | null> {
  const longest = yield* all(selectLongestBinding(db, { device, prefix }));
  const expiresAt = effectiveExpiry(
    longest.map((grant) => ({ expiresAt: grant.expires_at, endedAt: null })),
    now,
  );
  const id = bindingId(device, prefix);
  const before = yield* trustBody(db, "binding", id);
  if (expiresAt === null) return before === null ? null : { kind: "trust.remove", target: "binding", id };
  const body = JSON.stringify({ expiresAt });
  return body === before ? null : { kind: "trust.set", target: "binding", id, body };
}

/** In the order they were made; of one device when it is named. */
export function* listGrants(
  db: Builder,
  { after, limit, device = null }: PageRequest & { readonly device?: string | null },
): Command<Page<Grant>> {
  assertLimit(limit);
  let query = grantRows(db).orderBy("grants.id").limit(limit);
  if (after !== null) query = query.where("grants.id", ">", after);
  if (device !== null) query = query.where("device", "=", device);
  return pageOf((yield* all(query)).map(grantFromRow), limit, (grant) => grant.id);
}

/** Grants, and whether many devices share their prefix. */
export const grantRows = (db: Builder) =>
  db
    .selectFrom("grants")
    .leftJoin("crowded", (join) => join.onRef("crowded.lane", "=", "grants.lane").onRef("crowded.prefix", "=", "grants.prefix"))
    .selectAll("grants")
    .select("crowded.since as crowded_since");

export const grantFromRow = (row: Database["grants"] & { readonly crowded_since: number | null }): Grant => ({
  id: row.id,
  device: row.device,
  lane: row.lane,
  prefix: row.prefix,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  endedAt: row.ended_at,
  endReason: row.end_reason,
  crowded: row.ended_at === null && row.crowded_since !== null,
});
