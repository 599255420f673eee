import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { Proofs } from "../../../lib/registration/proofs.ts";
import { PROOF_WINDOW_MS, type Submission, signSubmission } from "../../../lib/registration/submission.ts";
import { NO_CERTIFICATE } from "../../../registry/process/certificates.ts";
import { concludeRefused, concludeSubmission } from "../../../registry/process/conclude.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { verifiedSubmission } from "../../../registry/process/proof.ts";
import { readInbox } from "../../../registry/store/intake.ts";
import { readChanges, readHead, verifyAudit } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness, HOUR_MS, nonce, REGISTRY, SEALING, type TestCode, unsigned } from "./harness.ts";

describe("Process", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const count = async (table: "devices" | "grants" | "inbox" | "audit") =>
    (await harness.rows((db) => all(db.selectFrom(table).selectAll()))).length;

  it("makes device, grant, rule, revision, audit entry and outcome of a right submission, all at once", async () => {
    harness.now = 1_800_000_000_000;
    await using _process = await harness.process();
    const code = await harness.code({ addressLifetimeMs: HOUR_MS });
    const before = await count("audit");
    const { status, body, revision } = await harness.register(code);
    expect(status).to.equal(201);
    expect(body).to.deep.include({ pattern: "ip", addresses: [{ prefix: "8.8.4.4/32", lane: "ip", expiresAt: 1_800_003_600_000 }] });
    expect(revision).to.equal(1);
    expect(await harness.rules()).to.deep.equal(["ip 8.8.4.4/32 1800003600000"]);
    expect(await harness.rows((db) => readChanges(db, { after: 0, limit: 10 }))).to.deep.equal([
      { revision: 1, body: '{"kind":"rule.set","lane":"ip","prefix":"8.8.4.4/32","expiresAt":1800003600000}' },
    ]);
    expect(await harness.used(code)).to.equal(1);
    expect([await count("devices"), await count("grants"), await count("inbox")]).to.deep.equal([1, 1, 0]);
    expect(await count("audit")).to.equal(before + 1);
    expect(await verifyAudit(harness.store)).to.deep.equal({ entries: before + 1, ok: true, brokenAt: null });
  });

  it("enrols ten devices behind one address from ten alike submissions", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { uses: 10 });
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => harness.register(code)));
    expect(new Set(outcomes.map(({ body }) => body.device)).size).to.equal(10);
    expect(await harness.rules()).to.have.length(1);
    expect(await count("devices")).to.equal(10);
  });

  it("enrols as many devices as a code has uses, and tells the others that it is spent", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { uses: 3 });
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => harness.register(code)));
    expect(outcomes.filter(({ status }) => status === 201)).to.have.length(3);
    expect(new Set(outcomes.filter(({ status }) => status !== 201).map(({ body }) => body.code))).to.deep.equal(new Set(["code_spent"]));
    expect([await harness.used(code), await count("devices")]).to.deep.equal([3, 3]);
  });

  it("keeps a prefix in its lane while one of two devices behind it holds it", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { uses: 2 });
    const [one, two] = [await harness.register(code), await harness.register(code)];
    const revoke = (device: unknown) =>
      harness.store.write((db) => revokeDevice(db, harness.lead, { device: String(device), now: harness.clock.now(), actor: "test" }));
    const { revision } = await harness.rows(readHead);
    expect(await revoke(one.body.device)).to.deep.include({ revision, ended: 1 });
    expect(await harness.rules()).to.have.length(1);
    expect(await revoke(two.body.device)).to.deep.include({ revision: revision + 1, ended: 1 });
    expect(await harness.rules()).to.deep.equal([]);
    expect(await revoke(two.body.device)).to.deep.include({ revision: revision + 1, ended: 0 });
    expect(await harness.rows(readHead)).to.deep.include({ digest: "0".repeat(32), rules: 0 });
  });

  it("counts a proof once", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { uses: 2 });
    const same = { nonce: nonce(), time: harness.clock.now() };
    const outcomes = [await harness.register(code, same), await harness.register(code, same)];
    expect(outcomes.map(({ status, body }) => [status, body.code])).to.deep.equal([
      [201, undefined],
      [409, "proof_replayed"],
    ]);
    expect(await harness.used(code)).to.equal(1);
  });

  const refusals: readonly [what: string, code: string, run: (code: TestCode) => Promise<{ body: Record<string, unknown> }>][] = [
    ["a signature by another key", "proof_refused", async (code) => harness.register(code, {}, { signature: "A".repeat(86) })],
    ["a changed address", "proof_refused", async (code) => forged(code, { addresses: ["8.8.8.8"] })],
    ["a changed observed word", "proof_refused", async (code) => forged(code, { deviceKey: "A".repeat(43) })],
    ["a proof for another registry", "proof_refused", async (code) => harness.register(code, { registry: "other.example" })],
    ["a signer that is no code", "proof_refused", async (code) => harness.register(code, { signer: `device:${code.selector}` })],
    ["an unknown selector", "proof_refused", async (code) => harness.register(code, { signer: "code:00000000" })],
    ["a time too old", "proof_time", async (code) => harness.register(code, { time: harness.clock.now() - PROOF_WINDOW_MS - 1_000 })],
    ["a time too new", "proof_time", async (code) => harness.register(code, { time: harness.clock.now() + PROOF_WINDOW_MS + 60_000 })],
    ["no address", "nothing_requested", async (code) => harness.register(code, { addresses: [] })],
    [
      "a CSR that came without being signed for",
      "proof_refused",
      async (code) => harness.register(code, { csrDigest: null }, { csr: Buffer.from("3000", "hex") }),
    ],
    ["a CSR that is missing", "proof_refused", async (code) => harness.register(code, { csrDigest: "0".repeat(64) })],
    [
      "a CSR for a profile of addresses",
      "certificate_not_offered",
      async (code) => harness.register(code, {}, { csr: Buffer.from("3000", "hex") }),
    ],
    ["a private address", "address_private", async (code) => harness.register(code, { addresses: ["10.0.0.1"] })],
    ["a device key that is none", "device_key", async (code) => harness.register(code, { deviceKey: `${"A".repeat(42)}B` })],
    ["an action that codes do not have", "action_not_offered", async (code) => harness.register(code, { action: "leave" })],
  ];
  for (const [what, problem, run] of refusals) {
    it(`refuses ${what} with ${problem}, whatever register stored, and spends nothing`, async () => {
      await using _process = await harness.process();
      const code = await harness.code();
      expect((await run(code)).body.code).to.equal(problem);
      expect([await harness.used(code), await count("devices"), await count("inbox")]).to.deep.equal([0, 0, 0]);
      expect(await harness.rows(readHead)).to.deep.include({ revision: 0 });
    });
  }

  /** A submission whose signature is right for something else. */
  async function forged(code: TestCode, change: { addresses?: string[]; deviceKey?: string }) {
    const signed = unsigned(code, harness.clock.now());
    const signature = signSubmission(signed, code.privateKey);
    return harness.register(code, { ...signed, ...change }, { signature });
  }

  it("concludes a submission once, whoever else takes it up", async () => {
    const code = await harness.code({}, { uses: 3 });
    const id = await harness.submit(code);
    const [item] = await harness.rows((db) => readInbox(db, { certified: false, limit: 1 }));
    if (item === undefined) throw new Error("nothing waits");
    const { now } = harness.clock;
    const verified = verifiedSubmission(
      item,
      { registry: REGISTRY, sealing: SEALING.privateKey, proofs: new Proofs(), certificate: null },
      now(),
    );
    const conclude = () =>
      harness.store.write((db) =>
        concludeSubmission(db, harness.lead, {
          work: { id, ...verified, observed: ["8.8.4.4"], allowed: [], now: now() },
          certificate: NO_CERTIFICATE,
        }),
      );
    const refuse = () =>
      harness.store.write((db) => concludeRefused(db, harness.lead, { id, now: now(), problem: new Problem(401, "late", "Late.") }));
    const [one, two, three] = await Promise.all([conclude(), conclude(), refuse()]);
    expect([one?.outcome, two, three]).to.deep.equal(["registered", null, null]);
    expect([await harness.used(code), await count("devices")]).to.deep.equal([1, 1]);
  });

  /** How many submissions wait once one was stored: before anybody has had a turn. */
  async function waiting(code: TestCode, known: boolean): Promise<number> {
    const submission = unsigned(code, harness.clock.now());
    const signature = signSubmission(submission, code.privateKey);
    if (known) expect(harness.proofs.isRight(submission, code.publicKey, signature)).to.equal(true);
    const id = await harness.submit(code, submission, { signature });
    const left = await count("inbox");
    expect((await harness.outcome(id)).status).to.equal(201);
    return left;
  }

  it("concludes in the transaction that stores it what this process has proven already, and nothing else", async () => {
    const code = await harness.code({}, { uses: 2 });
    await using _process = await harness.process();
    expect(await waiting(code, true)).to.equal(0);
    expect(await waiting(code, false)).to.equal(1);
    expect([await harness.used(code), await count("devices"), await count("inbox")]).to.deep.equal([2, 2, 0]);
  });

  it("wakes those who take the inbox only while something is in it", async () => {
    const code = await harness.code({}, { uses: 2 });
    await using _process = await harness.process();
    let woken = 0;
    using _watch = harness.store.watch("inbox", () => void woken++);
    await waiting(code, true);
    expect(woken).to.equal(0);
    await waiting(code, false);
    expect(woken).to.equal(1);
  });

  /** Stores registrations that this process has proven, all in one transaction. */
  async function together(...submissions: readonly (readonly [TestCode, Partial<Submission>])[]) {
    const signed = submissions.map(([code, change]) => ({ code, submission: unsigned(code, harness.clock.now(), change) }));
    const ready = signed.map(({ code, submission }) => {
      const signature = signSubmission(submission, code.privateKey);
      harness.proofs.isRight(submission, code.publicKey, signature);
      return { code, submission, signature };
    });
    const ids = await Promise.all(ready.map(({ code, submission, signature }) => harness.submit(code, submission, { signature })));
    expect(await count("inbox")).to.equal(0);
    return Promise.all(ids.map((id) => harness.outcome(id)));
  }

  it("concludes those of one transaction as if one came after the other", async () => {
    harness.now = 1_800_000_000_000;
    const twice = await harness.code({ addressLifetimeMs: HOUR_MS }, { uses: 2 });
    const long = await harness.code({ addressLifetimeMs: 2 * HOUR_MS, maxAddresses: 2 }, { profile: "long", uses: 5 });
    await using _process = await harness.process();
    const [before, used] = [await count("audit"), nonce()];
    const outcomes = await together(
      [twice, { addresses: ["8.8.8.1"], nonce: used }],
      [twice, { addresses: ["8.8.8.2"], nonce: used }],
      [long, { addresses: ["8.8.8.1", "8.8.8.3"] }],
      [long, { addresses: ["10.0.0.1"] }],
      [twice, { addresses: ["8.8.8.1"] }],
      [twice, { addresses: ["8.8.8.4"] }],
    );
    expect(outcomes.map(({ status, body, revision }) => `${status} ${body.code ?? "done"} ${revision}`)).to.deep.equal([
      "201 done 1",
      "409 proof_replayed 0",
      "201 done 2",
      "422 address_private 0",
      "201 done 2",
      "403 code_spent 0",
    ]);
    expect(await harness.rules()).to.deep.equal(["ip 8.8.8.1/32 1800007200000", "ip 8.8.8.3/32 1800007200000"]);
    expect([await harness.used(twice), await harness.used(long), await count("devices"), await count("grants")]).to.deep.equal([
      2, 1, 3, 4,
    ]);
    expect(await verifyAudit(harness.store)).to.deep.equal({ entries: before + 3, ok: true, brokenAt: null });
  });

  it("leaves those of one transaction to be tried one by one when one of them fails for no reason of its own", async () => {
    const [bad, good] = [await harness.code({}, { profile: "bad" }), await harness.code()];
    await harness.store.write((db) => all(db.updateTable("profiles").set({ addresses: "{" }).where("name", "=", "bad")));
    await using _process = await harness.process();
    const signed = [bad, good].map((code) => {
      const submission = unsigned(code, harness.clock.now());
      return { code, submission, signature: signSubmission(submission, code.privateKey) };
    });
    for (const { code, submission, signature } of signed) harness.proofs.isRight(submission, code.publicKey, signature);
    const outcomes = await Promise.all(signed.map(({ code, submission, signature }) => harness.register(code, submission, { signature })));
    expect(outcomes.map(({ status }) => status)).to.deep.equal([500, 201]);
    expect([await harness.used(bad), await harness.used(good)]).to.deep.equal([0, 1]);
  });

  it("refuses in that transaction too, and spends nothing", async () => {
    const code = await harness.code({ addresses: "observed" });
    await using _process = await harness.process();
    const submission = unsigned(code, harness.clock.now(), { addresses: ["203.0.113.7"] });
    const signature = signSubmission(submission, code.privateKey);
    harness.proofs.isRight(submission, code.publicKey, signature);
    const { status, body } = await harness.register(code, submission, { signature });
    expect([status, typeof body.code, await harness.used(code), await count("inbox")]).to.deep.equal([422, "string", 0, 0]);
  });

  it("tells the registry's time with a proof out of time", async () => {
    harness.now = 1_800_000_000_000;
    await using _process = await harness.process();
    const { body } = await harness.register(await harness.code(), { time: 5 });
    expect(body).to.deep.include({ code: "proof_time", now: 1_800_000_000_000 });
  });
});
