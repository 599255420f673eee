import type { FastifyInstance, FastifyRequest } from "fastify";
import type { IssuedCertificate } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import type { Issued } from "../ca/authority.ts";
import { parseCsrPem } from "../ca/csr.ts";
import type { InfrastructureCa } from "../ca/infrastructure.ts";
import { recordCertificate } from "../ca/ledger.ts";
import { isAgents, renewAgent } from "../process/agents.ts";
import { readSigningName } from "../process/authorities.ts";
import { renewableServer } from "../process/service-certificates.ts";
import { appendAudit, assertLead } from "../store/queries.ts";
import { first } from "../store/store.ts";
import { checkOrigin } from "./guard.ts";
import type { Peer } from "./identity.ts";
import { renewal, serviceRenewal } from "./input.ts";
import type { OwnNames } from "./names.ts";
import type { AdminParts } from "./parts.ts";

type Parts = Pick<AdminParts, "store" | "lead" | "ca" | "clock" | "config">;
type Agent = Extract<Peer, { kind: "agent" }>;

/**
 * What an enrolled agent asks of its own: the next certificate for the name that its present one says and for nothing else, and the next
 * one of the service on its host, for the key and the names of the present one.
 */
export function agentRenewalRoutes(
  app: FastifyInstance,
  { store, lead, ca, clock, config }: Parts,
  peerOf: (request: FastifyRequest) => Peer,
  own: OwnNames,
): void {
  async function agentOf(request: FastifyRequest, now: number): Promise<Agent> {
    const peer = peerOf(request);
    if (peer.kind !== "agent" || !(await store.read((db) => isAgents(db, { ...peer, now }))))
      throw new Problem(403, "request_role", "Only an enrolled agent may ask this.");
    return peer;
  }

  // For agents that no feed tells.
  app.get("/v1/agent/renewal", async (request): Promise<{ readonly leaving: boolean }> => {
    const { fingerprint } = await agentOf(request, clock.now());
    const { signing, held } = await store.read(function* (db) {
      const own = db.selectFrom("certificates").select("issuer").where("fingerprint", "=", fingerprint);
      return { signing: yield* readSigningName(db, "infrastructure"), held: yield* first(own) };
    });
    return { leaving: signing !== null && held !== undefined && held.issuer !== signing };
  });

  app.post("/v1/agent/renewal", async (request, reply): Promise<IssuedCertificate> => {
    const now = clock.now();
    const peer = await agentOf(request, now);
    checkOrigin(request.headers, peer, own);
    const { csr } = renewal.parse(request.body);
    const issued = await ca.issueAgent(parseCsrPem(csr, ["P-256"]), peer.name, now);
    await store.write(function* (db) {
      yield* renewAgent(db, lead, { name: peer.name, presented: peer.fingerprint, next: issued.fingerprint, now });
      yield* recordCertificate(db, issued);
    });
    reply.code(201);
    return answer(ca, issued);
  });

  app.post("/v1/agent/service-renewal", async (request, reply): Promise<IssuedCertificate> => {
    const now = clock.now();
    const peer = await agentOf(request, now);
    checkOrigin(request.headers, peer, own);
    const { csr, fingerprint } = serviceRenewal.parse(request.body);
    const proven = parseCsrPem(csr, ["P-256"]);
    const reserved = [...config.control.names, ...config.register.names];
    const names = await store.read((db) => renewableServer(db, { fingerprint, spki: proven.spki, reserved, now }));
    const issued = await ca.issueServer(proven, names, now);
    const detail = { subject: issued.subject, presented: fingerprint, fingerprint: issued.fingerprint, names };
    await store.write(function* (db) {
      yield* assertLead(db, lead);
      yield* recordCertificate(db, issued);
      yield* appendAudit(db, { at: now, actor: `agent:${peer.name}`, action: "certificate.renewed", detail });
    });
    reply.code(201);
    return answer(ca, issued);
  });
}

const answer = (ca: InfrastructureCa, { pem, notAfter }: Issued): IssuedCertificate => ({
  certificate: pem,
  chain: ca.chain,
  ca: ca.root,
  notAfter,
});
