import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import type { CompiledQuery } from "kysely";
import { listDevices, revokeDevice, showDevice } from "../../../registry/process/devices.ts";
import { expireGrants, forgetNonces, nextExpiry } from "../../../registry/process/expiry.ts";
import { listGrants } from "../../../registry/process/grants.ts";
import { acceptSubmissions } from "../../../registry/store/accept.ts";
import { countAttempt, readAttempts } from "../../../registry/store/attempts.ts";
import { createBuilder } from "../../../registry/store/builder.ts";
import { readRevoked } from "../../../registry/store/crls.ts";
import { readInbox } from "../../../registry/store/intake.ts";
import { readChanges, readRules, recordAcks } from "../../../registry/store/queries.ts";
import { readAcknowledged, readCodeKeys, readDeviceKey, readOutcomes, readRegistration } from "../../../registry/store/registrations.ts";
import type { Builder, Command, Store, Together } from "../../../registry/store/store.ts";
import { Harness, NO_RULES } from "../process/harness.ts";

/** A store that notes the SQL of every query that passes. */
function noting(store: Store, sql: Set<string>): Store {
  const noted =
    <T>(command: (db: Builder) => Command<T>) =>
    (db: Builder): Command<T> =>
      note(command(db));
  function* note<T>(command: Command<T>): Command<T> {
    let step = command.next();
    while (!step.done) {
      sql.add(step.value.sql);
      step = command.next((yield step.value) as readonly unknown[]);
    }
    return step.value;
  }
  // One for each, as those that are one and the same are done together.
  const together = new Map<Together<never, unknown>, Together<never, unknown>>();
  return {
    read: (command) => store.read(noted(command)),
    writeTogether<I, T>(command: Together<I, T>, input: I, wakes?: Parameters<Store["write"]>[1]) {
      const noting = (together.get(command) as Together<I, T> | undefined) ?? ((db, inputs) => note(command(db, inputs)));
      together.set(command, noting);
      return store.writeTogether(noting, input, wakes);
    },
    write: (command, wakes) => store.write(noted(command), wakes),
    watch: (topic, listener) => store.watch(topic, listener),
    ride: (topic, rider) => store.ride(topic, { ...rider, command: noted(rider.command) }),
    snapshot: () => store.snapshot(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

describe("the queries of the hot path", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  /** How SQLite would answer these queries. */
  function plans(queries: Iterable<string>): string[] {
    const db = new DatabaseSync(join(harness.folder, "registry.db"));
    try {
      return [...queries].flatMap((sql) => {
        const rows = db.prepare(`explain query plan ${sql}`).all(...Array(sql.split("?").length - 1).fill(1));
        return rows.map(({ detail }) => String(detail));
      });
    } finally {
      db.close();
    }
  }

  /** What SQLite would walk through row by row for these queries; rows that come with a query are no table's. */
  const scans = (queries: Iterable<string>): string[] =>
    [...new Set(plans(queries).filter((detail) => /SCAN(?! CONSTANT ROW| \d+-ROW VALUES)|TEMP B-TREE/.test(detail)))].sort();

  it("walk through nothing but the inbox, the newest audit entry and the nearest expiry", async () => {
    const sql = new Set<string>();
    const { lead } = harness;
    const code = await harness.code({}, { uses: 2 });
    const store = noting(harness.store, sql);
    const spied: Harness = Object.create(harness, { store: { value: store } });
    await using _process = await spied.process();
    const id = await spied.submit(code);
    const device = String((await spied.outcome(id)).body.device);
    await store.read((db) => readCodeKeys(db, [code.selector]));
    await store.read((db) => readOutcomes(db, [id, id]));
    await store.read((db) => readRegistration(db, { id }));
    for (const certified of [false, true]) await store.read((db) => readInbox(db, { certified, limit: 1 }));
    await store.read((db) => readAttempts(db, { source: "8.8.4.4/32", now: 1 }));
    await store.write((db) => countAttempt(db, { source: "8.8.4.4/32", signer: "", now: 1 }));
    await store.read((db) => readChanges(db, { after: 0, limit: 1 }));
    await store.read((db) => readRules(db, { after: { lane: "ip", prefix: "8" }, limit: 1 }));
    await store.read((db) => listDevices(db, { after: device, limit: 1 }));
    await store.read((db) => listGrants(db, { after: "a", limit: 1, device }));
    await store.read((db) => showDevice(db, { device }));
    await store.read((db) => readDeviceKey(db, { id: device }));
    const own = await spied.device(code);
    await spied.own(own, "renew");
    await spied.own(own, "renew", { addresses: ["8.8.8.8"] });
    await spied.own(own, "leave");
    await store.write((db) => expireGrants(db, lead, { now: 1 }));
    await store.write((db) => forgetNonces(db, lead, { now: 1 }));
    await store.write((db) => recordAcks(db, [{ name: "a", revision: 1, seenAt: 1 }]));
    await store.write((db) => revokeDevice(db, lead, { device, now: 1, actor: "test" }));
    await store.read(nextExpiry);
    expect(sql.size).to.be.greaterThan(25);
    expect(scans(sql)).to.deep.equal([
      "SCAN audit",
      "SCAN certificates USING COVERING INDEX certificates_live_end",
      "SCAN crowded USING COVERING INDEX crowded_untold",
      "SCAN grants USING INDEX grants_live_expiry",
      // When the setting for crowded addresses changed, at the start.
      "SCAN grants USING INDEX grants_live_rule",
      "SCAN inbox",
      // Up to that setting.
      "SCAN live",
      // Up to the number of refused submissions that are kept.
      "SCAN outcomes USING INDEX outcomes_refused",
      // Up to the number of submissions that may wait.
      "SCAN waiting",
    ]);
  });

  it("read revoked certificates for a list from an index alone", () => {
    const page = { issuer: "i", after: "", ending: 1, limit: 1 };
    const query = readRevoked(createBuilder("sqlite"), page).next().value as CompiledQuery;
    expect(plans([query.sql])).to.deep.equal(["SEARCH certificates USING COVERING INDEX certificates_revoked (issuer=? AND serial>?)"]);
  });

  it("count agents in an index", () => {
    const query = readAcknowledged(createBuilder("sqlite")).next().value as CompiledQuery;
    expect(scans([query.sql])).to.deep.equal([]);
  });

  it("are the same commands on PostgreSQL", () => {
    const db = createBuilder("postgres");
    const accept = acceptSubmissions(
      db,
      [
        {
          id: "i",
          receivedAt: 5,
          action: "register",
          signer: "code:A",
          submission: { addresses: [], deviceKey: null, nonce: "n", time: 1 },
          signature: "s",
          csr: null,
          observed: ["o"],
          digest: "d",
          sealed: null,
          shown: null,
          idempotencyKey: null,
        },
      ],
      NO_RULES,
    );
    // Whether the inbox has room.
    accept.next();
    const first = accept.next([]).value as CompiledQuery;
    expect(first.sql).to.match(/^insert into "submissions" .* values \(\$1, \$2, \$3, \$4, \$5, \$6, \$7, \$8, \$9, \$10\)$/);
    expect(first.parameters.slice(0, 4)).to.deep.equal(["i", 5, "register", "code:A"]);
  });

  it("cannot be run past the store", async () => {
    const attempt = createBuilder("sqlite").selectFrom("meta").selectAll().execute();
    expect(await attempt.catch((error: Error) => error.message)).to.match(/yield them from a command/);
  });
});
