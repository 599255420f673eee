import type { FastifyInstance } from "fastify";
import { listCertificates, revokeListed } from "../../process/listed-certificates.ts";
import { certificateParameter, grantQuery, revokeCertificateBody } from "../input.ts";
import type { AdminParts } from "../parts.ts";

export function listedCertificateRoutes(app: FastifyInstance, { store, lead, feed, clock, actorOf }: AdminParts): void {
  app.get("/certificates", (request) => {
    const page = grantQuery.parse(request.query);
    return store.read((db) => listCertificates(db, page));
  });

  app.post("/certificates/:fingerprint/revoke", async (request) => {
    const { fingerprint } = certificateParameter.parse(request.params);
    const { reason } = revokeCertificateBody.parse(request.body ?? {});
    const input = { fingerprint, reason, now: clock.now(), actor: actorOf(request) };
    const { agent, ...revoked } = await store.write((db) => revokeListed(db, lead, input), ["head", "revocation"]);
    if (agent !== null) feed.disconnect(agent);
    return revoked;
  });
}
