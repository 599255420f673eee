import { sql } from "kysely";
import type { Grant, Page } from "../../lib/admin/api.ts";
import type { Change } from "../../lib/feed/messages.ts";
import { type Prefix, prefixBytes } from "../../lib/ip.ts";
import type { RuleLane } from "../../lib/service.ts";
import { effectiveExpiry, ruleChange } from "../rules/effective.ts";
import { prepared } from "../store/prepared.ts";
import { ruleExpiry, trustBody } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command } from "../store/store.ts";
import { settleCrowd } from "./crowds.ts";
import { assertLimit, type PageRequest, pageOf } from "./paging.ts";

const insertGrant = prepared(
  (db, v: { id: string; device: string; lane: RuleLane; prefix: string; bytes: Uint8Array; createdAt: number; expiresAt: number }) =>
    db.insertInto("grants").values({
      id: v.id,
      device: v.device,
      lane: v.lane,
      prefix: v.prefix,
      bytes: v.bytes,
      created_at: v.createdAt,
      expires_at: v.expiresAt,
      ended_at: null,
      end_reason: null,
    }),
);

export interface NewGrant {
  readonly id: string;
  readonly device: string;
  readonly lane: RuleLane;
  readonly prefix: Prefix;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Stores one grant; the rule that follows from it is {@link settleRule}'s. */
export function* addGrant(db: Builder, { prefix, ...grant }: NewGrant): Command<void> {
  yield* all(insertGrant(db, { ...grant, prefix: prefix.text, bytes: prefixBytes(prefix) }));
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

/** Gives a live grant another end; the rule that follows from it is {@link settleRule}'s. */
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
    touched.set(`${grant.lane} ${grant.prefix}`, grant);
    if (grant.lane === "ipcert") bound.set(bindingId(grant.device, grant.prefix), grant);
  }
  const changes: (Change | null)[] = [];
  for (const { lane, prefix } of touched.values()) changes.push(yield* settleRule(db, lane, prefix, now));
  for (const { device, prefix } of bound.values()) changes.push(yield* settleBinding(db, device, prefix, now));
  return changes.filter((change) => change !== null);
}

/** Of one prefix's grants the one that lives longest: it alone decides, however many devices stand behind the prefix. */
const selectLongest = prepared((db, v: { lane: RuleLane; prefix: string }) =>
  db
    .selectFrom("grants")
    .select("expires_at")
    .where("lane", "=", v.lane)
    .where("prefix", "=", v.prefix)
    .where("ended_at", "is", null)
    .orderBy("expires_at", "desc")
    .limit(sql.lit(1)),
);

/** What must change for the effective rule of a prefix to follow its grants; null when it does already. */
export function* settleRule(db: Builder, lane: RuleLane, prefix: string, now: number): Command<Change | null> {
  const longest = yield* all(selectLongest(db, { lane, prefix }));
  const after = effectiveExpiry(
    longest.map((grant) => ({ expiresAt: grant.expires_at, endedAt: null })),
    now,
  );
  const before = yield* ruleExpiry(db, lane, prefix);
  // A prefix that had no rule is one device's now.
  if (before !== null) yield* settleCrowd(db, lane, prefix, now);
  return ruleChange(lane, prefix, before, after);
}

/** What a grant that was made or changed changes for the agents: its rule, and for pattern `both` its binding. */
export function* settleGrant(
  db: Builder,
  { device, lane, prefix, now }: { readonly device: string; readonly lane: RuleLane; readonly prefix: string; readonly now: number },
): Command<Change[]> {
  const rule = yield* settleRule(db, lane, prefix, now);
  const binding = lane === "ipcert" ? yield* settleBinding(db, device, prefix, now) : null;
  return [rule, binding].filter((change) => change !== null);
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

/** As {@link settleRule}, for which device holds a prefix: that device's grants alone decide. */
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
