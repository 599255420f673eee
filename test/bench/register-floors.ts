import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import Fastify from "fastify";
import { pathsOf } from "../../registry/paths.ts";
import { GroupCommit } from "../../registry/store/group-commit.ts";
import { prepareRegistry, REGISTRY, type StartAsk } from "./register-prepared.ts";
import { checkOf, rowsOf, type SentRegistration } from "./register-rows.ts";

/** Where a floor listens, and what its clients need. */
interface Started {
  readonly url: string;
  readonly ca: string;
  readonly code: string;
  readonly registry: string;
}

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

/** Fastify alone over the same TLS, with a schema for the same body and one insert, committed durably and in groups as Storage commits. */
export async function startBare(ask: StartAsk): Promise<Started> {
  const prepared = await prepareRegistry(ask);
  const db = durably(new DatabaseSync(join(ask.folder, "bare.db")));
  db.exec("create table rows (id integer primary key, body text not null)");
  const insert = db.prepare("insert into rows (body) values (?) returning id");
  const commits = groupCommit(db);
  return listen(prepared, async (body) => {
    const row = await commits.add(() => insert.get(JSON.stringify(body)), []);
    return { id: row?.id };
  });
}

/**
 * As {@link startBare}, but for what no registration can do without whatever decides it: one check of its signature, and
 * the rows that stay of it, in Storage's own tables by one prepared statement each. Nothing is read, nothing decided.
 */
export async function startProven(ask: StartAsk): Promise<Started> {
  const prepared = await prepareRegistry(ask);
  const db = durably(new DatabaseSync(prepared.database, { enableForeignKeyConstraints: true }));
  const isRight = checkOf(prepared);
  const insert = rowsOf(db);
  const commits = groupCommit(db);
  return listen(prepared, async (body) => {
    if (!isRight(body)) throw new Error("the proof is not right");
    return await commits.add(() => insert(body), []);
  });
}

/** As Storage is written. */
function durably(db: DatabaseSync): DatabaseSync {
  db.exec("pragma journal_mode = wal; pragma synchronous = full; pragma temp_store = memory");
  return db;
}

const groupCommit = (db: DatabaseSync): GroupCommit =>
  new GroupCommit(
    {
      exec: (sql) => db.exec(sql),
      get inTransaction() {
        return db.isTransaction;
      },
    },
    () => {},
  );

async function listen(
  { config, root, code }: Awaited<ReturnType<typeof prepareRegistry>>,
  take: (body: SentRegistration) => Promise<unknown>,
): Promise<Started> {
  const { pki } = pathsOf(config);
  const https = { key: readFileSync(join(pki, "register.key")), cert: readFileSync(join(pki, "register.crt")) };
  const app = Fastify({ https });
  app.post<{ Body: SentRegistration }>("/v1/registrations", { schema: { body: BODY } }, async (request, reply) =>
    reply.code(201).send(await take(request.body)),
  );
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { url: `https://localhost:${port}`, ca: root, code, registry: REGISTRY };
}
