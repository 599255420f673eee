import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import Fastify from "fastify";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { generateCode } from "../../lib/registration/code.ts";
import { parseRegistryConfig } from "../../registry/config.ts";
import { initialise } from "../../registry/init.ts";
import { pathsOf } from "../../registry/paths.ts";
import { createCode } from "../../registry/process/codes.ts";
import { setProfile } from "../../registry/process/profiles.ts";
import { serve } from "../../registry/serve.ts";
import { GroupCommit } from "../../registry/store/group-commit.ts";
import { takeLead } from "../../registry/store/queries.ts";
import { openSqliteStore } from "../../registry/store/sqlite.ts";
import { servePeer } from "../lab/peer.ts";

/**
 * One process that takes registrations: `--kind registry` is the registry with both roles, `--kind bare` is fastify alone over the same
 * TLS, with a schema for the same body and one insert, committed durably and in groups as Storage commits.
 */
export interface RegisterServerAsks {
  start: { readonly folder: string; readonly port: number; readonly controlPort: number };
  usage: Record<string, never>;
}
export interface RegisterServerAnswers {
  start: { readonly url: string; readonly ca: string; readonly code: string; readonly registry: string };
  /** Microseconds of processor that the process used since it began: all its threads, and the one that serves. */
  usage: { readonly cpuUs: number; readonly mainUs: number };
}
type Start = (ask: RegisterServerAsks["start"]) => Promise<RegisterServerAnswers["start"]>;

const REGISTRY = "bench.example";
const USES = 1_000_000;
const HOUR_MS = 3_600_000;

const configOf = ({ folder, port, controlPort }: RegisterServerAsks["start"]) =>
  parseRegistryConfig(
    "bench",
    JSON.stringify({
      name: REGISTRY,
      stateDir: join(folder, "state"),
      runtimeDir: join(folder, "run"),
      register: { address: "127.0.0.1", port },
      control: { address: "127.0.0.1", port: controlPort },
      allowNetworks: ["10.0.0.0/8", "127.0.0.0/8"],
      limits: { registrationsPerMinute: 1_000_000, registrationsPerHour: 1_000_000_000 },
    }),
  );

const registry: Start = async (ask) => {
  const config = configOf(ask);
  const { root } = await initialise(config, systemClock, silentLog);
  const { database } = pathsOf(config);
  const { text, selector, publicKey } = generateCode();
  const said = { now: Date.now(), actor: "bench" };
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openSqliteStore({ file: database, log: silentLog }));
  const lead = await takeLead(store, said.now);
  await store.write((db) => setProfile(db, lead, { name: "bench", settings: { pattern: "ip", addresses: "any" }, ...said }));
  const code = { selector, publicKey, subject: "bench", profile: "bench", uses: USES, expiresAt: said.now + HOUR_MS };
  await store.write((db) => createCode(db, lead, { ...code, ...said }));
  await stack.disposeAsync();
  await serve(config, systemClock, silentLog);
  return { url: `https://localhost:${ask.port}`, ca: root, code: text, registry: REGISTRY };
};

const text = { type: "string", maxLength: 128 } as const;
const BODY = {
  type: "object",
  required: ["selector", "proof", "addresses"],
  additionalProperties: false,
  properties: {
    selector: text,
    proof: {
      type: "object",
      required: ["nonce", "time", "signature"],
      properties: { nonce: text, time: { type: "integer" }, signature: text },
    },
    addresses: { type: "array", maxItems: 16, items: text },
  },
} as const;

const bare: Start = async (ask) => {
  const config = configOf(ask);
  const { root } = await initialise(config, systemClock, silentLog);
  const { pki } = pathsOf(config);
  const db = new DatabaseSync(join(ask.folder, "bare.db"));
  db.exec("pragma journal_mode = wal; pragma synchronous = full; create table rows (id integer primary key, body text not null)");
  const insert = db.prepare("insert into rows (body) values (?) returning id");
  const commits = new GroupCommit(
    {
      exec: (sql) => db.exec(sql),
      get inTransaction() {
        return db.isTransaction;
      },
    },
    () => {},
  );
  const https = { key: readFileSync(join(pki, "register.key")), cert: readFileSync(join(pki, "register.crt")) };
  const app = Fastify({ https });
  app.post("/v1/registrations", { schema: { body: BODY } }, async (request, reply) => {
    const row = await commits.add(() => insert.get(JSON.stringify(request.body)), []);
    return reply.code(201).send({ id: row?.id });
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { url: `https://localhost:${port}`, ca: root, code: generateCode().text, registry: REGISTRY };
};

const { values } = parseArgs({ options: { kind: { type: "string", default: "bare" } } });

servePeer({
  start: values.kind === "registry" ? registry : bare,
  async usage(): Promise<RegisterServerAnswers["usage"]> {
    const [all, main] = [process.cpuUsage(), process.threadCpuUsage()];
    return { cpuUs: all.user + all.system, mainUs: main.user + main.system };
  },
});
