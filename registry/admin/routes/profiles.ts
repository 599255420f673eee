import type { FastifyInstance } from "fastify";
import { listProfiles, setProfile } from "../../process/profiles.ts";
import { nameParameter, pageQuery, profileSettings } from "../input.ts";
import type { AdminParts } from "../parts.ts";

export function profileRoutes(app: FastifyInstance, { store, lead, clock, actorOf }: AdminParts): void {
  app.get("/profiles", (request) => {
    const page = pageQuery.parse(request.query);
    return store.read((db) => listProfiles(db, page));
  });

  app.put("/profiles/:name", (request) => {
    const { name } = nameParameter.parse(request.params);
    const input = { name, settings: profileSettings.parse(request.body), now: clock.now(), actor: actorOf(request) };
    return store.write((db) => setProfile(db, lead, input));
  });
}
