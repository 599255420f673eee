import type { FastifyReply } from "fastify";
import type { Acknowledged, OutcomeRow } from "../store/registrations.ts";
import { sendProblemBody } from "./problems.ts";

/**
 * Answers with what became of a registration: its body with `sync`, or the problem as it was decided.
 * @param success HTTP status of what was not refused
 */
export function answer(
  reply: FastifyReply,
  outcome: Pick<OutcomeRow, "status" | "body" | "revision">,
  acknowledged: readonly Acknowledged[],
  success = outcome.status,
): FastifyReply {
  if (outcome.status >= 400) return sendProblemBody(reply, outcome.status, outcome.body);
  const registration = JSON.parse(outcome.body) as Record<string, unknown>;
  return reply.code(success).send({ ...registration, sync: syncAt(outcome.revision, acknowledged) });
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
