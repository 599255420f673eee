import type { FastifyInstance } from "fastify";
import type { Agent, IssuedCertificate, Page } from "../../../lib/admin/api.ts";
import { Problem } from "../../../lib/problem.ts";
import type { Issued } from "../../ca/authority.ts";
import { parseCsrPem } from "../../ca/csr.ts";
import { coversName } from "../../ca/extensions.ts";
import type { InfrastructureCa } from "../../ca/infrastructure.ts";
import { recordCertificate, revokeCertificate } from "../../ca/ledger.ts";
import { enrollAgent, listAgents } from "../../process/agents.ts";
import { appendAudit, assertLead } from "../../store/queries.ts";
import { newAgent, newOperator, newServerCertificate, pageQuery } from "../input.ts";
import type { AdminParts } from "../parts.ts";

/** Keys of the infrastructure are P-256: one kind that every side has (DESIGN.md §6 has the devices'). */
const KINDS = ["P-256"] as const;

export function agentRoutes(app: FastifyInstance, parts: AdminParts): void {
  const { store, lead, ca, feed, clock, actorOf } = parts;

  app.get("/agents", async (request): Promise<Page<Agent>> => {
    const page = pageQuery.parse(request.query);
    const { items, next } = await store.read((db) => listAgents(db, page));
    const live = new Map(feed.agents().map(({ name, ...fact }) => [name, fact]));
    return { items: items.map((agent) => ({ ...agent, feed: live.get(agent.name) ?? null })), next };
  });

  app.post("/agents", async (request, reply): Promise<IssuedCertificate> => {
    const { csr, ...asked } = newAgent.parse(request.body);
    const now = clock.now();
    const issued = await ca.issueAgent(parseCsrPem(csr, KINDS), asked.name, now);
    const input = { ...asked, fingerprint: issued.fingerprint, now, actor: actorOf(request) };
    const { replaced } = await store.write(
      function* (db) {
        const result = yield* enrollAgent(db, lead, input);
        if (result.replaced !== null) yield* revokeCertificate(db, result.replaced, now, "superseded");
        yield* recordCertificate(db, issued);
        return result;
      },
      ["revocation"],
    );
    if (replaced !== null) feed.disconnect(asked.name);
    reply.code(201);
    return answer(ca, issued);
  });
}

export function certificateRoutes(app: FastifyInstance, parts: AdminParts): void {
  const { ca, clock, config, actorOf, isLocal } = parts;
  const own = [...config.control.names, ...config.register.names];

  app.post("/certificates/server", async (request, reply): Promise<IssuedCertificate> => {
    const { names, csr } = newServerCertificate.parse(request.body);
    // Agents know control by its name alone: who holds a certificate for it can be their registry.
    if (!isLocal(request) && names.some((name) => own.some((ours) => coversName(name, ours))))
      throw new Problem(403, "local_only", "Certificates for the registry's own names are made over its local socket only.");
    const issued = await ca.issueServer(parseCsrPem(csr, KINDS), names, clock.now());
    await note(parts, issued, actorOf(request), { names });
    reply.code(201);
    return answer(ca, issued);
  });

  // An operator's certificate can be given by the machine's owner only, never by another operator from afar.
  app.post("/certificates/operator", async (request, reply): Promise<IssuedCertificate> => {
    if (!isLocal(request)) throw new Problem(403, "local_only", "Operators are enrolled over the registry's local socket only.");
    const { name, csr, role } = newOperator.parse(request.body);
    const issue = role === "metrics" ? ca.issueMetrics : ca.issueOperator;
    const issued = await issue(parseCsrPem(csr, KINDS), name, clock.now());
    await note(parts, issued, actorOf(request), {});
    reply.code(201);
    return answer(ca, issued);
  });
}

function note({ store, lead, clock }: AdminParts, issued: Issued, actor: string, more: Readonly<Record<string, unknown>>): Promise<void> {
  const { subject, fingerprint, notAfter } = issued;
  const entry = { at: clock.now(), actor, action: "certificate.issued", detail: { subject, fingerprint, notAfter, ...more } };
  return store.write(function* (db) {
    yield* assertLead(db, lead);
    yield* recordCertificate(db, issued);
    yield* appendAudit(db, entry);
  });
}

const answer = (ca: InfrastructureCa, { pem, notAfter }: Issued): IssuedCertificate => ({
  certificate: pem,
  chain: ca.chain,
  ca: ca.root,
  notAfter,
});
