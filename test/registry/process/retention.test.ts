import { expect } from "chai";
import { revokeDevice } from "../../../registry/process/devices.ts";
import {
  DONE_KEPT,
  ENDED_GRANTS_KEPT,
  ENDED_GRANTS_KEPT_MS,
  forgetGrants,
  forgetRefused,
  REFUSED_KEPT,
  REFUSED_KEPT_MS,
  TRIM_BATCH,
} from "../../../registry/process/retention.ts";
import { newId } from "../../../registry/store/id.ts";
import { verifyAudit } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness } from "./harness.ts";

const START = 1_800_000_000_000;

describe("what Storage keeps", function () {
  this.timeout(60_000);
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = START;
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const count = async (table: "submissions" | "outcomes" | "grants") =>
    Number((await harness.rows((db) => all(db.selectFrom(table).select((eb) => eb.fn.countAll().as("n")))))[0]?.n);
  const refused = async (howMany: number, at: number) => {
    for (let done = 0; done < howMany; done += 500) {
      await harness.store.write(function* (db) {
        for (let n = done; n < Math.min(howMany, done + 500); n++) {
          const id = newId(at);
          const texts = { signer: "s", submission: "{}", signature: "x", observed: "8.8.8.8", digest: "d", idempotency: null };
          yield* all(db.insertInto("submissions").values({ id, received_at: at, action: "register", ...texts, csr: null }));
          yield* all(db.insertInto("outcomes").values({ submission: id, at: at + n, status: 422, body: "{}", device: null, revision: 0 }));
        }
      });
    }
  };
  const trim = (command: typeof forgetRefused, now: number) => harness.store.write((db) => command(db, harness.lead, { now }));

  it("of refused submissions is an hour, in small batches, and nothing of what was done", async () => {
    const process = await harness.process();
    const code = await harness.code({}, { expiresAt: START * 2 });
    await harness.register(code);
    await harness.register(code, { addresses: ["10.0.0.1"] });
    await process[Symbol.asyncDispose]();
    await refused(TRIM_BATCH, START);
    expect(await trim(forgetRefused, START + REFUSED_KEPT_MS - 1)).to.equal(0);
    expect(await trim(forgetRefused, START + REFUSED_KEPT_MS + TRIM_BATCH)).to.equal(TRIM_BATCH);
    expect(await trim(forgetRefused, START + REFUSED_KEPT_MS + TRIM_BATCH)).to.equal(1);
    expect([await count("submissions"), await count("outcomes")]).to.deep.equal([1, 1]);
  });

  it("of refused submissions is so many at most, the newest, whatever their age", async () => {
    await refused(REFUSED_KEPT + 7, START);
    expect(await trim(forgetRefused, START)).to.equal(7);
    expect([await trim(forgetRefused, START), await count("outcomes")]).to.deep.equal([0, REFUSED_KEPT]);
    expect(await harness.rows((db) => all(db.selectFrom("outcomes").select("at").orderBy("at").limit(1)))).to.deep.equal([
      { at: START + 7 },
    ]);
  });

  it("of a device is as much however often it renews, and what it holds", async () => {
    await using _process = await harness.process();
    const device = await harness.device(await harness.code({}, { expiresAt: START * 2 }));
    const renewed: string[] = [];
    for (let n = 0; n < ENDED_GRANTS_KEPT + 5; n++)
      renewed.push(String((await harness.own(device, "renew", { addresses: [`8.8.8.${n}`] })).body.id));
    const left = await harness.rows((db) => all(db.selectFrom("outcomes").select("submission").orderBy("submission")));
    expect(left.map(({ submission }) => submission)).to.deep.equal([device.registration, ...renewed.slice(-DONE_KEPT)]);
    expect([await count("submissions"), await count("grants")]).to.deep.equal([DONE_KEPT + 1, ENDED_GRANTS_KEPT + 1]);
    expect(await harness.rules()).to.have.length(1);
    expect(await verifyAudit(harness.store)).to.deep.include({ ok: true });
  });

  it("of ended grants is thirty days, and every live one", async () => {
    const process = await harness.process();
    const code = await harness.code({ addressLifetimeMs: 366 * 24 * 3_600_000 }, { uses: 2, expiresAt: START * 2 });
    const { body } = await harness.register(code);
    await harness.register(code);
    await process[Symbol.asyncDispose]();
    await harness.store.write((db) => revokeDevice(db, harness.lead, { device: String(body.device), now: START, actor: "test" }));
    expect(await trim(forgetGrants, START + ENDED_GRANTS_KEPT_MS)).to.equal(0);
    expect(await trim(forgetGrants, START + ENDED_GRANTS_KEPT_MS + 1)).to.equal(1);
    expect([await count("grants"), (await harness.rules()).length]).to.deep.equal([1, 1]);
  });

  it("is looked after while Process runs", async () => {
    await refused(TRIM_BATCH * 2 + 1, START - REFUSED_KEPT_MS - TRIM_BATCH * 2);
    await using _process = await harness.process();
    while ((await count("outcomes")) > 0) await new Promise((resolve) => setImmediate(resolve));
  });
});
