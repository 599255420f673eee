import type { FastifyReply } from "fastify";
import type { Acknowledged, OutcomeRow } from "../store/registrations.ts";
import { sendProblemBody } from "./problems.ts";

/**
 * Answers with what became of a registration: its body with `sync`, or the problem as it was decided.
 * @param more of a question about it, which is answered with 200: how its device ended
 */
export function answer(
  reply: FastifyReply,
  outcome: Pick<OutcomeRow, "status" | "body" | "revision">,
  acknowledged: readonly Acknowledged[],
  more?: { readonly ended: "revoked" | "left" | null },
): FastifyReply {
  if (outcome.status >= 400) return sendProblemBody(reply, outcome.status, outcome.body);
  const now = JSON.stringify({ sync: syncAt(outcome.revision, acknowledged), ...more });
  // What is stored is an object's text, and not empty: what is so at this moment goes behind its members.
  return reply
    .code(more === undefined ? outcome.status : 200)
    .type("application/json; charset=utf-8")
    .send(`${outcome.body.slice(0, -1)},${now.slice(1)}`);
}

/** On how many of the restricted zone's agents a revision is in force. */
export function syncAt(revision: number, acknowledged: readonly Acknowledged[]): { applied: number; agents: number } {
  let [applied, agents] = [0, 0];
  for (const group of acknowledged) {
    agents += group.agents;
    if (group.revision >= revision) applied += group.agents;
  }
  return { applied, agents };
}
