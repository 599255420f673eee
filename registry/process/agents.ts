import type { Agent, NewAgent, Page } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import { isLive } from "../ca/ledger.ts";
import { appendAudit, assertLead } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { assertLimit, type PageRequest, pageOf } from "./paging.ts";

export type AgentFact = Omit<Agent, "feed">;

/** The URI in an agent's certificate takes no other names. */
const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/**
 * Makes an agent known by its name and its certificate's fingerprint (SHA-256, lower-case hex).
 * @returns the agent, and the fingerprint whose place it took (null when none)
 * @throws Problem agent_invalid | agent_exists (unless `replace`) | not_leading
 */
export function* enrollAgent(
  db: Builder,
  lead: Lead,
  input: Omit<NewAgent, "csr"> & { readonly fingerprint: string; readonly now: number; readonly actor: string },
): Command<{ agent: AgentFact; replaced: string | null }> {
  yield* assertLead(db, lead);
  const { name, zone, fingerprint, replace, now, actor } = input;
  if (!NAME.test(name) || !/^[0-9a-f]{64}$/.test(fingerprint))
    throw new Problem(
      422,
      "agent_invalid",
      "An agent has a name of 1 to 63 lower-case letters, digits, dots and hyphens, and a fingerprint.",
    );
  const old = yield* first(db.selectFrom("agents").selectAll().where("name", "=", name));
  if (old !== undefined && !replace) throw new Problem(409, "agent_exists", `There is already an agent '${name}'.`);
  const row = { name, zone, fingerprint, enrolled_at: now, revoked_at: null, acked_revision: 0, seen_at: null };
  yield* all(db.deleteFrom("agents").where("name", "=", name));
  yield* all(db.insertInto("agents").values(row));
  const replaced = old?.fingerprint ?? null;
  yield* appendAudit(db, { at: now, actor, action: "agent.enrolled", detail: { name, zone, fingerprint, replaced } });
  return { agent: fromRow(row), replaced };
}

/**
 * True of an enrolled agent's certificate: the newest, or one before it that did not end yet, since who renews takes the new one to use
 * at its next connection.
 */
export function* isAgents(
  db: Builder,
  { name, fingerprint, now }: { readonly name: string; readonly fingerprint: string; readonly now: number },
): Command<boolean> {
  const agent = yield* first(db.selectFrom("agents").select(["fingerprint", "revoked_at"]).where("name", "=", name));
  if (agent === undefined || agent.revoked_at !== null) return false;
  return agent.fingerprint === fingerprint || (yield* isLive(db, fingerprint, URN.agent + name, now));
}

/**
 * Notes an agent's next certificate. Looks again whether the one it came with is still its own.
 * @throws Problem request_role | not_leading
 */
export function* renewAgent(
  db: Builder,
  lead: Lead,
  { name, presented, next, now }: { readonly name: string; readonly presented: string; readonly next: string; readonly now: number },
): Command<void> {
  yield* assertLead(db, lead);
  if (!(yield* isAgents(db, { name, fingerprint: presented, now })))
    throw new Problem(403, "request_role", "Only an enrolled agent may ask this.");
  yield* all(db.updateTable("agents").set({ fingerprint: next }).where("name", "=", name));
  yield* appendAudit(db, { at: now, actor: `agent:${name}`, action: "agent.renewed", detail: { name, presented, fingerprint: next } });
}

/** In the order of their names. */
export function* listAgents(db: Builder, { after, limit }: PageRequest): Command<Page<AgentFact>> {
  assertLimit(limit);
  const query = db.selectFrom("agents").selectAll().orderBy("name").limit(limit);
  const rows = yield* all(after === null ? query : query.where("name", ">", after));
  return pageOf(rows.map(fromRow), limit, (agent) => agent.name);
}

/** @throws Problem agent_unknown */
export function* showAgent(db: Builder, { name }: { readonly name: string }): Command<AgentFact> {
  const row = yield* first(db.selectFrom("agents").selectAll().where("name", "=", name));
  if (row === undefined) throw new Problem(404, "agent_unknown", `There is no agent '${name}'.`);
  return fromRow(row);
}

const fromRow = (row: Database["agents"]): AgentFact => ({
  name: row.name,
  zone: row.zone,
  fingerprint: row.fingerprint,
  enrolledAt: row.enrolled_at,
  revokedAt: row.revoked_at,
  ackedRevision: row.acked_revision,
  seenAt: row.seen_at,
});
