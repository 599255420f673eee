import { expect } from "chai";
import { PROOF_WINDOW_MS } from "../../../lib/registration/submission.ts";
import { withdrawCode } from "../../../registry/process/codes.ts";
import { EXPIRY_BATCH, forgetNonces } from "../../../registry/process/expiry.ts";
import { readChanges, readHead, takeLead } from "../../../registry/store/queries.ts";
import { all, type Command } from "../../../registry/store/store.ts";
import { Harness, HOUR_MS, nonce } from "./harness.ts";

describe("Process, as time goes by", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  /** Resolves once `command` returns what is wanted; looks again whenever the head moves. */
  async function until(command: () => Promise<boolean>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        command().then((there) => {
          if (!there) return;
          watch[Symbol.dispose]();
          resolve();
        }, reject);
      };
      const watch = harness.store.watch("head", look);
      look();
    });
  }

  it("ends a grant when its time comes, as a revision", async () => {
    await using _process = await harness.process();
    const code = await harness.code({ addressLifetimeMs: 1_000 });
    const { body } = await harness.register(code);
    const [address] = body.addresses as { expiresAt: number }[];
    await until(async () => (await harness.rules()).length === 0);
    expect(Date.now()).to.be.at.least(address?.expiresAt ?? Number.POSITIVE_INFINITY);
    expect((await harness.rows((db) => readChanges(db, { after: 1, limit: 5 }))).map((change) => change.body)).to.deep.equal([
      '{"kind":"rule.remove","lane":"ip","prefix":"8.8.4.4/32"}',
    ]);
    expect(await harness.rows((db) => all(db.selectFrom("grants").select(["end_reason", "ended_at"])))).to.deep.equal([
      { end_reason: "expired", ended_at: address?.expiresAt },
    ]);
  });

  it("ends what ran out while it was away, in batches", async () => {
    harness.now = 1_000_000;
    const code = await harness.code({ maxAddresses: 64 }, { uses: 20 });
    {
      await using _process = await harness.process();
      const addresses = (device: number) => Array.from({ length: 64 }, (_, index) => `8.8.${device}.${index}`);
      await Promise.all(Array.from({ length: 10 }, (_, device) => harness.register(code, { addresses: addresses(device) })));
    }
    expect(await harness.rows(readHead)).to.deep.include({ rules: 640, revision: 640 });
    expect(640).to.be.greaterThan(EXPIRY_BATCH);
    harness.now += 8 * 24 * HOUR_MS;
    await using _process = await harness.process();
    await until(async () => (await harness.rows(readHead)).rules === 0);
    expect(await harness.rows(readHead)).to.deep.include({ revision: 1_280, digest: "0".repeat(32) });
  });

  it("concludes what was stored while it was away", async () => {
    const id = await harness.submit(await harness.code());
    await using _process = await harness.process();
    expect((await harness.outcome(id)).status).to.equal(201);
  });

  it("tells of a code that expired or was withdrawn only after a right proof", async () => {
    harness.now = 1_000_000;
    const code = await harness.code({}, { expiresAt: 1_000_001 });
    harness.now = 1_000_001;
    await using _process = await harness.process();
    expect((await harness.register(code)).body.code).to.equal("code_expired");
    expect((await harness.register(code, {}, { signature: "A".repeat(86) })).body.code).to.equal("proof_refused");
    const withdrawn = await harness.code();
    const { selector } = withdrawn;
    await harness.store.write((db) => withdrawCode(db, harness.lead, { selector, now: 1_000_001, actor: "test" }));
    expect((await harness.register(withdrawn)).body.code).to.equal("code_withdrawn");
    expect((await harness.register(withdrawn, {}, { signature: "A".repeat(86) })).body.code).to.equal("proof_refused");
  });

  it("stops when another replica leads, and changes nothing more", async () => {
    await using running = await harness.process();
    const code = await harness.code();
    await takeLead(harness.store, 5);
    const id = await harness.submit(code);
    const reason = await running.ended.catch((error: unknown) => error);
    expect(reason).to.deep.include({ code: "not_leading" });
    expect(await harness.rows((db) => all(db.selectFrom("outcomes").selectAll()))).to.deep.equal([]);
    expect(await harness.rows((db) => all(db.selectFrom("inbox").select("submission")))).to.deep.equal([{ submission: id }]);
  });

  it("gives up a submission that fails for no reason of its own, with a 500, and goes on with the others", async () => {
    const code = await harness.code({}, { uses: 2 });
    const bad = await harness.submit(code);
    await harness.store.write((db) => all(db.updateTable("profiles").set({ addresses: "{" }).where("name", "=", "test")));
    const good = await harness.submit(await harness.code({}, { profile: "other" }));
    await using _process = await harness.process();
    expect((await harness.outcome(good)).status).to.equal(201);
    expect((await harness.outcome(bad)).body).to.deep.include({ status: 500, code: "process_failed" });
    expect(await harness.used(code)).to.equal(0);
  });

  it("forgets used nonces only when no proof can come with them any more", async () => {
    harness.now = 1_000_000_000;
    const { lead, store } = harness;
    const code = await harness.code({}, { uses: 2 });
    {
      await using _process = await harness.process();
      await harness.register(code, { nonce: nonce() });
    }
    const forget = (now: number): Promise<number> => store.write((db): Command<number> => forgetNonces(db, lead, { now }));
    expect(await forget(1_000_000_000 + 2 * PROOF_WINDOW_MS)).to.equal(0);
    expect(await forget(1_000_000_000 + 2 * PROOF_WINDOW_MS + 1)).to.equal(1);
    expect(await harness.rows((db) => all(db.selectFrom("nonces").selectAll()))).to.deep.equal([]);
  });

  it("ends without leaving anything that runs, also twice", async () => {
    const running = await harness.process();
    await running[Symbol.asyncDispose]();
    await running[Symbol.asyncDispose]();
    await running.ended;
  });
});
