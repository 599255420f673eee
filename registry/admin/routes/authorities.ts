import type { FastifyInstance } from "fastify";
import { beginRotation, showAuthorities } from "../../process/shown-authorities.ts";
import type { AdminParts } from "../parts.ts";

export function authorityRoutes(app: FastifyInstance, { store, lead, authorities, clock, actorOf }: AdminParts): void {
  app.get("/authorities", () => store.read((db) => showAuthorities(db, authorities)));

  app.post("/authorities/rotate", async (request, reply) => {
    const next = await beginRotation(store, lead, { authorities, now: clock.now(), actor: actorOf(request) });
    reply.code(202);
    return { next };
  });
}
