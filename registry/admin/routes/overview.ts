import { setImmediate } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import type { AuditEntry, AuditVerdict, Page, RegistryStatus } from "../../../lib/admin/api.ts";
import { Problem } from "../../../lib/problem.ts";
import { alarmText, trustAlarms } from "../../process/ca-alarms.ts";
import { readHead, verifyAudit } from "../../store/queries.ts";
import { all, type Builder, type Command, first } from "../../store/store.ts";
import { pageQuery } from "../input.ts";
import { alarmsOf, countRules, details } from "../overview.ts";
import type { AdminParts } from "../parts.ts";

export function overviewRoutes(app: FastifyInstance, { store, feed, config, authorities, listeners, clock }: AdminParts): void {
  app.get("/audit", (request) => {
    const { after, limit } = pageQuery.parse(request.query);
    if (after !== null && !/^\d{1,15}$/.test(after)) throw new Problem(422, "request_invalid", "after: the number of an entry");
    return store.read((db) => auditPage(db, Number(after ?? 0), limit));
  });

  app.post("/audit/verify", async (): Promise<AuditVerdict> => {
    await using snapshot = await store.snapshot();
    // A pause before each page: a long log must not hold up everything else.
    return await verifyAudit({ read: (command) => setImmediate().then(() => snapshot.read(command)) });
  });

  app.get("/status", async (): Promise<RegistryStatus> => {
    const now = clock.now();
    const trust = { authorities: authorities.all, listeners: listeners(), now };
    const alarms = await store.read((db) => trustAlarms(db, trust));
    const live = feed.agents();
    const facts = await store.read((db) => counts(db, now));
    const more = await store.read((db) => details(db, live, facts, now));
    const inSync = live.filter((agent) => agent.revision === facts.revision && agent.digest === facts.digest).length;
    const { enrolled, ...rest } = facts;
    const ahead = live.filter((agent) => agent.phase === "ahead").length;
    const duplicates = live.reduce((sum, agent) => sum + agent.duplicates, 0);
    const agents = { enrolled, connected: live.length, inSync, ahead, duplicates };
    const status = { name: config.name, ...rest, ...more, agents, spread: feed.spread(), rulesBy: await countRules(store) };
    return { ...status, alarms: [...alarmsOf(status, now), ...alarms.map(alarmText)] };
  });
}

function* auditPage(db: Builder, after: number, limit: number): Command<Page<AuditEntry>> {
  const query = db.selectFrom("audit").select(["seq", "at", "actor", "action", "detail", "hash"]);
  const rows = yield* all(query.where("seq", ">", after).orderBy("seq").limit(limit));
  const last = rows.at(-1);
  const items = rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as unknown }));
  return { items, next: last !== undefined && rows.length === limit ? String(last.seq) : null };
}

type Counts = Pick<RegistryStatus, "epoch" | "revision" | "digest" | "rules" | "devices" | "grants" | "inbox"> & {
  readonly enrolled: number;
};

function* counts(db: Builder, now: number): Command<Counts> {
  const { epoch, revision, digest, rules } = yield* readHead(db);
  const devices = yield* first(
    db
      .selectFrom("devices")
      .select((eb) => eb.fn.countAll<number>().as("n"))
      .where("ended_at", "is", null),
  );
  const grants = yield* first(
    db
      .selectFrom("grants")
      .select((eb) => eb.fn.countAll<number>().as("n"))
      .where("ended_at", "is", null)
      .where("expires_at", ">", now),
  );
  const inbox = yield* first(db.selectFrom("inbox").select((eb) => eb.fn.countAll<number>().as("n")));
  const enrolled = yield* first(
    db
      .selectFrom("agents")
      .select((eb) => eb.fn.countAll<number>().as("n"))
      .where("revoked_at", "is", null),
  );
  const numbers = [devices, grants, inbox, enrolled].map((row) => Number(row?.n ?? 0));
  const [deviceCount = 0, grantCount = 0, inboxCount = 0, enrolledCount = 0] = numbers;
  return { epoch, revision, digest, rules, devices: deviceCount, grants: grantCount, inbox: inboxCount, enrolled: enrolledCount };
}
