import type { FastifyInstance, FastifyRequest } from "fastify";
import type { IssuedCertificate } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { parseCsrPem } from "../ca/csr.ts";
import { recordCertificate } from "../ca/ledger.ts";
import { isAgents, renewAgent } from "../process/agents.ts";
import { checkOrigin } from "./guard.ts";
import type { Peer } from "./identity.ts";
import { renewal } from "./input.ts";
import type { OwnNames } from "./names.ts";
import type { AdminParts } from "./parts.ts";

type Parts = Pick<AdminParts, "store" | "lead" | "ca" | "clock">;

/** POST /v1/agent/renewal: an agent's next certificate, for the name that its present one says and for nothing else. */
export function agentRenewalRoute(
  app: FastifyInstance,
  { store, lead, ca, clock }: Parts,
  peerOf: (request: FastifyRequest) => Peer,
  own: OwnNames,
): void {
  app.post("/v1/agent/renewal", async (request, reply): Promise<IssuedCertificate> => {
    const peer = peerOf(request);
    const now = clock.now();
    if (peer.kind !== "agent" || !(await store.read((db) => isAgents(db, { ...peer, now }))))
      throw new Problem(403, "request_role", "Only an enrolled agent may ask this.");
    checkOrigin(request.headers, peer, own);
    const { csr } = renewal.parse(request.body);
    const issued = await ca.issueAgent(parseCsrPem(csr, ["P-256"]), peer.name, now);
    await store.write(function* (db) {
      yield* renewAgent(db, lead, { name: peer.name, presented: peer.fingerprint, next: issued.fingerprint, now });
      yield* recordCertificate(db, issued);
    });
    reply.code(201);
    return { certificate: issued.pem, chain: ca.chain, ca: ca.root, notAfter: issued.notAfter };
  });
}
