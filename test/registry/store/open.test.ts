import { hash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { MIGRATIONS, SCHEMA_VERSION } from "../../../registry/store/migrations.ts";
import { openSqliteStore } from "../../../registry/store/sqlite.ts";
import { all } from "../../../registry/store/store.ts";

/** A page of 4 kB and its head (sqlite.org/fileformat2.html#walformat). */
const WAL_FRAME_BYTES = 4_096 + 24;

describe("a file of Storage", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "entityos-open-"));
    file = join(folder, "state", "registry.db");
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const open = () => openSqliteStore({ file, log: silentLog });

  /** What the file says to another connection. */
  function inspect(sql: string): unknown {
    const db = new DatabaseSync(file);
    try {
      return Object.values(db.prepare(sql).get() ?? {})[0];
    } finally {
      db.close();
    }
  }

  it("is made in a private folder, with a write-ahead log and the newest schema", async () => {
    await using _store = await open();
    expect(statSync(join(folder, "state")).mode & 0o777).to.equal(0o700);
    expect(inspect("pragma journal_mode")).to.equal("wal");
    expect(inspect("select value from meta where key = 'schema'")).to.equal(String(SCHEMA_VERSION));
  });

  it("is for its owner alone, in a folder that others may enter too", async () => {
    mkdirSync(join(folder, "state"), { mode: 0o755 });
    writeFileSync(file, "", { mode: 0o644 });
    await using store = await open();
    await store.write((db) => all(db.insertInto("meta").values({ key: "test", value: "x" })));
    const modes = ["", "-wal", "-shm"].map((suffix) => (statSync(file + suffix).mode & 0o777).toString(8));
    expect(modes).to.deep.equal(["600", "600", "600"]);
  });

  it("counts migrations from 1 without gaps", () => {
    expect(MIGRATIONS.map(({ version }) => version)).to.deep.equal(Array.from({ length: SCHEMA_VERSION }, (_, index) => index + 1));
  });

  it("checks foreign keys and types", async () => {
    await using store = await open();
    const inbox = store.write((db) => all(db.insertInto("inbox").values({ submission: "none", received_at: 1 })));
    expect(await inbox.catch(String)).to.match(/FOREIGN KEY/);
    const change = store.write((db) => all(db.insertInto("changes").values({ revision: 1.5, at: 1, body: "", digest: "" })));
    expect(await change.catch(String)).to.match(/REAL value in INTEGER column/);
    const nameless = {
      id: null as never,
      received_at: 1,
      action: "leave",
      signer: "",
      submission: "",
      signature: "",
      observed: "",
      digest: "",
    } as const;
    const submission = store.write((db) => all(db.insertInto("submissions").values(nameless)));
    expect(await submission.catch(String)).to.match(/NOT NULL constraint failed: submissions.id/);
  });

  it("writes certificates of one transaction side by side", async () => {
    await using store = await open();
    const certificate = (index: number) => ({
      ...{ fingerprint: hash("sha256", `${index}`), serial: hash("md5", `${index}`), issuer: "CA", subject: `${index}`.padStart(40, "0") },
      ...{ device: null, state: "live" as const, not_before: index, not_after: index, ends_at: index, revoked_at: null, reason: null },
      pem: "x".repeat(900),
    });
    const insert = (first: number, count: number) =>
      store.write((db) =>
        all(db.insertInto("certificates").values(Array.from({ length: count }, (_, index) => certificate(first + index)))),
      );
    for (let at = 0; at < 2_048; at += 64) await insert(at, 64);
    inspect("pragma wal_checkpoint(truncate)");
    await insert(2_048, 64);
    // 97; 274 where each long row has a page of its own.
    expect(Math.floor(statSync(`${file}-wal`).size / WAL_FRAME_BYTES)).to.be.within(64, 128);
  });

  it("is migrated once, however often it is opened", async () => {
    const stores = await Promise.all([open(), open(), open()]);
    for (const store of stores) await store[Symbol.asyncDispose]();
    expect(inspect("select count(*) from head")).to.equal(1);
  });

  it("of the first schema is brought up to date, and keeps what it has", async () => {
    await (await open())[Symbol.asyncDispose]();
    const db = new DatabaseSync(file);
    db.exec("drop table compromised_keys; update meta set value = '1' where key = 'schema'; update head set epoch = 'kept'");
    db.close();
    await using store = await open();
    expect(inspect("select value from meta where key = 'schema'")).to.equal("2");
    expect(inspect("select epoch from head")).to.equal("kept");
    await store.write((builder) => all(builder.insertInto("compromised_keys").values({ spki_sha256: "a", at: 1 })));
  });

  it("is refused, and left as it was, when its schema is newer than the program", async () => {
    await (await open())[Symbol.asyncDispose]();
    const db = new DatabaseSync(file);
    db.exec(`update meta set value = '${SCHEMA_VERSION + 1}' where key = 'schema'`);
    db.close();
    const error = await open().catch((reason: unknown) => reason);
    expect(error).to.include({
      name: "StoreRefusedError",
      message: `Cannot use ${file} as Storage: its schema is version ${SCHEMA_VERSION + 1} and this program knows ${SCHEMA_VERSION}. Use the newer program.`,
    });
    expect(inspect("select value from meta where key = 'schema'")).to.equal(String(SCHEMA_VERSION + 1));
  });

  it("is refused, and left as it was, when it is another program's database", async () => {
    file = join(folder, "other.db");
    const db = new DatabaseSync(file);
    db.exec("create table other (a)");
    db.close();
    const before = readFileSync(file);
    expect(await open().catch((error: Error) => error.name)).to.equal("StoreRefusedError");
    expect(readFileSync(file).equals(before)).to.equal(true);
  });

  it("is refused, and left as it was, when it is no database", async () => {
    file = join(folder, "text.db");
    writeFileSync(file, "no database, but long enough to look like something ".repeat(100));
    const before = readFileSync(file);
    expect(await open().catch((error: Error) => error.name)).to.equal("StoreRefusedError");
    expect(readFileSync(file).equals(before)).to.equal(true);
  });

  it("prepares a bounded number of statements, and forgets none that it needs", async () => {
    await using store = await open();
    for (let columns = 1; columns <= 600; columns++) {
      const rows = await store.read((db) =>
        all(
          db
            .selectFrom("meta")
            .select("key")
            .where(
              "key",
              "in",
              Array.from({ length: columns }, () => "schema"),
            ),
        ),
      );
      expect(rows).to.have.length(1);
    }
  });
});
