import type { FastifyInstance } from "fastify";
import { beginRotation, showAuthorities } from "../../process/shown-authorities.ts";
import { withdrawAuthority } from "../../process/withdrawal.ts";
import { authorityParameter, retireBody, rotateBody } from "../input.ts";
import type { AdminParts } from "../parts.ts";

export function authorityRoutes(app: FastifyInstance, { store, lead, authorities, feed, clock, actorOf }: AdminParts): void {
  app.get("/authorities", () => store.read((db) => showAuthorities(db, authorities)));

  app.post("/authorities/rotate", async (request, reply) => {
    const { kind } = rotateBody.parse(request.body ?? {});
    const next = await beginRotation(store, lead, { authorities, kind, now: clock.now(), actor: actorOf(request) });
    reply.code(202);
    return { next };
  });

  app.post("/authorities/:ca/retire", async (request, reply) => {
    const { ca } = authorityParameter.parse(request.params);
    const { reason } = retireBody.parse(request.body ?? {});
    const seen = { showing: (name: string) => feed.showing(name), connected: feed.agents().map(({ name }) => name) };
    const input = { authorities, ...seen, ca, reason, now: clock.now(), actor: actorOf(request) };
    await store.write((db) => withdrawAuthority(db, lead, input), ["progress", "revocation"]);
    reply.code(202);
    return { ca };
  });
}
