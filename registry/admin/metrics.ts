import type { FastifyInstance, FastifyRequest } from "fastify";
import { METRICS_TYPE } from "../../lib/metrics.ts";
import { trustAlarms } from "../process/ca-alarms.ts";
import { readHead } from "../store/queries.ts";
import { all, type Builder, type Command, first } from "../store/store.ts";
import type { Peer } from "./identity.ts";
import type { AdminParts } from "./parts.ts";
import { checkMetrics } from "./role.ts";

type Parts = Pick<AdminParts, "store" | "clock" | "feed" | "metrics" | "authorities" | "listeners">;

const TRUST_ALARMS = [
  "ca_missing",
  "crl_missing",
  "crl_old",
  "crl_expired",
  "ca_ends",
  "server_certificate_ends",
  "signer_unavailable",
] as const;

/** GET /metrics: for operators, the local socket, and certificates that may do nothing else. */
export function metricsRoute(app: FastifyInstance, parts: Parts, peerOf: (request: FastifyRequest) => Peer): void {
  measureStanding(parts);
  app.get("/metrics", async (request, reply) => {
    await checkMetrics(parts, peerOf(request));
    return reply.type(METRICS_TYPE).send(await parts.metrics.text());
  });
}

/** Gauges of how the registry stands, asked for at each scrape. None costs a walk through a table that grows. */
function measureStanding({ store, feed, metrics, authorities, listeners, clock }: Parts): void {
  const revision = metrics.gauge("entityos_revision", "Revision of the head.");
  const rules = metrics.gauge("entityos_rules", "Effective rules in force.");
  const waiting = metrics.gauge("entityos_inbox", "Submissions that wait for Process.");
  const audit = metrics.gauge("entityos_audit_entries", "Entries of the audit log.");
  const enrolled = metrics.gauge("entityos_agents_enrolled", "Agents that are enrolled and not revoked.");
  const inSync = metrics.gauge("entityos_agents_in_sync", "Agents whose kernel holds the head: its revision and its digest.");
  const alarms = metrics.gauges("entityos_alarms", "Agents, CAs and listeners for which an alarm holds.", "alarm");
  metrics.beforeText(async () => {
    const facts = await store.read(standing);
    const live = feed.agents();
    revision.set(facts.revision);
    rules.set(facts.rules);
    waiting.set(facts.inbox);
    audit.set(facts.audit);
    enrolled.set(facts.enrolled);
    inSync.set(live.filter((agent) => agent.revision === facts.revision && agent.digest === facts.digest).length);
    const trust = { authorities: authorities.all, listeners: listeners(), now: clock.now() };
    const told = await store.read((db) => trustAlarms(db, trust));
    alarms.replace({
      ...Object.fromEntries(TRUST_ALARMS.map((alarm) => [alarm, told.filter((one) => one.alarm === alarm).length])),
      duplicate_agent: live.filter((agent) => agent.duplicates > 0).length,
      agent_ahead: live.filter((agent) => agent.phase === "ahead").length,
      digest_differs: live.filter((agent) => agent.revision === facts.revision && agent.digest !== null && agent.digest !== facts.digest)
        .length,
    });
  });
}

function* standing(
  db: Builder,
): Command<{ revision: number; digest: string; rules: number; inbox: number; audit: number; enrolled: number }> {
  const { revision, digest, rules } = yield* readHead(db);
  const inbox = yield* first(db.selectFrom("inbox").select((eb) => eb.fn.countAll<number>().as("n")));
  const [newest] = yield* all(db.selectFrom("audit").select("seq").orderBy("seq", "desc").limit(1));
  const enrolled = yield* first(
    db
      .selectFrom("agents")
      .select((eb) => eb.fn.countAll<number>().as("n"))
      .where("revoked_at", "is", null),
  );
  return { revision, digest, rules, inbox: Number(inbox?.n ?? 0), audit: newest?.seq ?? 0, enrolled: Number(enrolled?.n ?? 0) };
}
