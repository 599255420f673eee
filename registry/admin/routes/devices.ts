import type { FastifyInstance } from "fastify";
import { listDevices, revokeDevice, showDevice } from "../../process/devices.ts";
import { listGrants } from "../../process/grants.ts";
import { grantQuery, idParameter, pageQuery } from "../input.ts";
import type { AdminParts } from "../parts.ts";

export function deviceRoutes(app: FastifyInstance, { store, lead, clock, actorOf }: AdminParts): void {
  app.get("/devices", (request) => {
    const page = pageQuery.parse(request.query);
    return store.read((db) => listDevices(db, page));
  });

  app.get("/devices/:id", (request) => {
    const { id } = idParameter.parse(request.params);
    return store.read((db) => showDevice(db, { device: id }));
  });

  app.post("/devices/:id/revoke", (request) => {
    const { id } = idParameter.parse(request.params);
    const input = { device: id, now: clock.now(), actor: actorOf(request) };
    return store.write((db) => revokeDevice(db, lead, input), ["head", "revocation"]);
  });

  app.get("/grants", (request) => {
    const page = grantQuery.parse(request.query);
    return store.read((db) => listGrants(db, page));
  });
}
