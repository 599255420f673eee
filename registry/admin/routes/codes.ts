import type { FastifyInstance } from "fastify";
import { createCode, listCodes, withdrawCode } from "../../process/codes.ts";
import { newCode, pageQuery, selectorParameter } from "../input.ts";
import type { AdminParts } from "../parts.ts";
import { registerUrl } from "../register-url.ts";

export function codeRoutes(app: FastifyInstance, { store, lead, clock, config, actorOf }: AdminParts): void {
  app.post("/codes", async (request, reply) => {
    const input = { ...newCode.parse(request.body), now: clock.now(), actor: actorOf(request) };
    const code = await store.write((db) => createCode(db, lead, input));
    reply.code(201);
    return { code, register: { url: registerUrl(config), name: config.name } };
  });

  app.get("/codes", (request) => {
    const page = pageQuery.parse(request.query);
    return store.read((db) => listCodes(db, page));
  });

  app.delete("/codes/:selector", (request) => {
    const { selector } = selectorParameter.parse(request.params);
    const input = { selector, now: clock.now(), actor: actorOf(request) };
    return store.write((db) => withdrawCode(db, lead, input));
  });
}
