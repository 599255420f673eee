import type { EpochBegun, HeldAhead } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { newId } from "../store/id.ts";
import { appendAudit, assertLead, readHead } from "../store/queries.ts";
import { all, type Builder, type Command, type Lead } from "../store/store.ts";

/**
 * Begins a new epoch at the revision that Storage has: every agent takes a snapshot, whatever it held. Write it with wake "head".
 * @param ahead agents that hold what Storage does not
 * @returns what is lost by it: revisions that agents held and nobody has any more
 * @throws Problem epoch_order when the clock makes no epoch later than those that are held | not_leading
 */
export function* beginEpoch(
  db: Builder,
  lead: Lead,
  { ahead, now, actor }: { readonly ahead: readonly HeldAhead[]; readonly now: number; readonly actor: string },
): Command<EpochBegun> {
  yield* assertLead(db, lead);
  const head = yield* readHead(db);
  const epoch = newId(now);
  // Agents order epochs by their text and refuse an earlier one.
  const latest = ahead.reduce((latest, { epoch }) => (epoch > latest ? epoch : latest), head.epoch);
  if (epoch <= latest)
    throw new Problem(
      409,
      "epoch_order",
      `This registry's clock is behind: an epoch begun now would be earlier than ${latest}. Set it right.`,
    );
  yield* all(db.updateTable("head").set({ epoch }).where("id", "=", 1));
  // What was acknowledged of the old epoch says nothing of the new one.
  yield* all(db.updateTable("agents").set({ acked_revision: 0 }));
  const held = ahead.filter((agent) => agent.epoch === head.epoch).map((agent) => agent.revision);
  const to = Math.max(head.revision, ...held);
  const lost = to > head.revision ? { from: head.revision + 1, to } : null;
  const begun: EpochBegun = { epoch, previous: head.epoch, revision: head.revision, lost, ahead };
  yield* appendAudit(db, { at: now, actor, action: "epoch.begun", detail: { ...begun, ahead: ahead.slice(0, MAX_TOLD) } });
  return begun;
}

/** Agents that the audit entry names; their number is not bounded otherwise. */
const MAX_TOLD = 100;
