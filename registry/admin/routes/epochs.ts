import type { FastifyInstance } from "fastify";
import type { EpochBegun, HeldAhead } from "../../../lib/admin/api.ts";
import { beginEpoch } from "../../process/epoch.ts";
import type { AdminParts } from "../parts.ts";

export function epochRoutes(app: FastifyInstance, { store, lead, feed, clock, actorOf }: AdminParts): void {
  app.post("/epochs", async (request, reply): Promise<EpochBegun> => {
    const ahead = feed.agents().flatMap(({ name, phase, epoch, revision }): HeldAhead[] => {
      return phase === "ahead" && epoch !== null ? [{ agent: name, epoch, revision }] : [];
    });
    const begun = await store.write((db) => beginEpoch(db, lead, { ahead, now: clock.now(), actor: actorOf(request) }), ["head"]);
    reply.code(201);
    return begun;
  });
}
