import { expect } from "chai";
import { signSubmission } from "../../../lib/registration/submission.ts";
import { ATTEMPT_WINDOW_MS, countAttempt, readAttempts, TRIM_BATCH, trimAttempts } from "../../../registry/store/attempts.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness, type TestCode, unsigned } from "../process/harness.ts";
import { type Answer, RegisterUnderTest } from "./client.ts";

const NOW = 1_800_000_000_000;
const LIMITS = { registrationsPerHour: 3, wrongProofsPerHour: 6, wrongProofsPerSigner: 2 };

describe("limits that are kept in Storage", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  const start = async (folder?: string) => {
    harness = await Harness.open(folder);
    harness.now = NOW;
    process = await harness.process(["127.0.0.0/8", "::1/128"]);
    register = await RegisterUnderTest.start(harness, LIMITS);
  };
  const stop = async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
  };
  beforeEach(() => start());
  afterEach(async () => {
    await stop();
    await harness[Symbol.asyncDispose]();
  });

  const code = () => harness.code({ observed6: 128 }, { uses: 100, expiresAt: NOW + 100 * ATTEMPT_WINDOW_MS });
  const told = ({ status, body }: Answer): string => `${status} ${String(body.code ?? "")}`.trim();
  const rightly = async (made: TestCode, host?: string): Promise<string> => told(await register.post(register.body(made), {}, host));
  /** A proof by another code's key. */
  const wrongly = async (made: { selector: string }, host?: string): Promise<string> => {
    const { privateKey } = await code();
    return told(await register.post(register.body({ ...(made as TestCode), privateKey }), {}, host));
  };
  const rows = () => harness.rows((db) => all(db.selectFrom("attempts").selectAll().orderBy("source").orderBy("signer")));

  it("refuse more right proofs from one source than its share, and say when to come back; another source goes on", async () => {
    const made = await code();
    for (let registered = 0; registered < 3; registered++) expect(await rightly(made)).to.equal("201");
    const answer = await register.post(register.body(made));
    expect(answer.headers).to.include({ "retry-after": "3600", "content-type": "application/problem+json" });
    expect(answer.body).to.deep.equal({
      type: "urn:entityos:problem:registrations_limited",
      title: "registrations_limited",
      status: 429,
      detail: "Too many registrations from this address: come back in 60 minutes.",
      code: "registrations_limited",
      retryAfter: 3600,
    });
    expect([await rightly(made, "::1"), await harness.used(made)]).to.deep.equal(["201", 4]);
  });

  it("refuse a selector to a source that proved it wrongly too often, also with the right proof, and to nobody else", async () => {
    const [made, other] = [await code(), await code()];
    expect([await wrongly(made), await wrongly(made)]).to.deep.equal(["401 proof_refused", "401 proof_refused"]);
    expect([await wrongly(made), await rightly(made)]).to.deep.equal(["429 proofs_limited", "429 proofs_limited"]);
    expect([await rightly(made, "::1"), await rightly(other)]).to.deep.equal(["201", "201"]);
  });

  it("refuse every selector to a source whose proofs were wrong too often in all", async () => {
    for (let selector = 0; selector < 3; selector++) {
      const made = await code();
      expect([await wrongly(made), await wrongly(made)]).to.deep.equal(["401 proof_refused", "401 proof_refused"]);
    }
    const made = await code();
    expect([await rightly(made), await rightly(made, "::1")]).to.deep.equal(["429 proofs_limited", "201"]);
  });

  it("count a selector that is not there as one that is", async () => {
    const unknown = { selector: "00000000" };
    expect([await wrongly(unknown), await wrongly(unknown), await wrongly(unknown)]).to.deep.equal([
      "401 proof_refused",
      "401 proof_refused",
      "429 proofs_limited",
    ]);
  });

  it("count renewals as registrations, and an unknown device as a known one with a wrong proof; leaving is never refused", async () => {
    const device = await harness.device(await code());
    const renew = async (id: string, privateKey = device.privateKey): Promise<string> => {
      const submission = unsigned(device, NOW, { action: "renew", signer: `device:${id}` });
      const { nonce, time, addresses } = submission;
      const proof = { nonce, time, signature: signSubmission(submission, privateKey) };
      return told(await register.send("POST", "/v1/renewals", { body: JSON.stringify({ device: id, proof, addresses }) }));
    };
    for (let renewed = 0; renewed < 3; renewed++) expect(await renew(device.id)).to.equal("201");
    expect(await renew(device.id)).to.equal("429 registrations_limited");
    const other = (await code()).privateKey;
    for (const id of [device.id, "01a20ada-8228-7003-bcb7-c58f43e10ba0"]) {
      const answers = [await renew(id, other), await renew(id, other), await renew(id, other)];
      expect(answers).to.deep.equal(["401 proof_refused", "401 proof_refused", "429 proofs_limited"]);
    }
    const leaving = unsigned(device, NOW, { action: "leave", signer: device.signer, addresses: [] });
    const headers = {
      "entityos-nonce": leaving.nonce,
      "entityos-time": String(leaving.time),
      "entityos-signature": signSubmission(leaving, device.privateKey),
    };
    expect(told(await register.send("DELETE", `/v1/registrations/${device.registration}`, { headers }))).to.equal("200");
  });

  it("survive a restart", async () => {
    const [made, spent] = [await code(), await code()];
    for (let wrong = 0; wrong < 2; wrong++) await wrongly(made);
    for (let right = 0; right < 3; right++) await rightly(spent);
    await stop();
    const { folder } = harness;
    await harness.store[Symbol.asyncDispose]();
    await start(folder);
    expect([await rightly(made), await rightly(spent)]).to.deep.equal(["429 proofs_limited", "429 registrations_limited"]);
  });

  it("hold for two registers over one Storage together", async () => {
    const [made, spent] = [await code(), await code()];
    await using second = await RegisterUnderTest.start(harness, LIMITS);
    const first = register;
    for (const one of [first, second]) {
      register = one;
      await wrongly(made);
      await rightly(spent);
    }
    register = first;
    expect([await rightly(made), await rightly(spent), await rightly(spent)]).to.deep.equal([
      "429 proofs_limited",
      "201",
      "429 registrations_limited",
    ]);
  });

  it("end with their window", async () => {
    const made = await code();
    for (let wrong = 0; wrong < 2; wrong++) await wrongly(made);
    harness.now = NOW + ATTEMPT_WINDOW_MS - 1;
    const answer = await register.post(register.body(made));
    expect([told(answer), answer.headers["retry-after"]]).to.deep.equal(["429 proofs_limited", "1"]);
    harness.now = NOW + ATTEMPT_WINDOW_MS;
    expect(await rightly(made)).to.equal("201");
  });

  it("do not count what an Idempotency-Key repeats, nor what cannot be read", async () => {
    const body = register.body(await code());
    const headers = { "idempotency-key": "0123456789abcdefghijkl" };
    for (let repeat = 0; repeat < 5; repeat++) expect((await register.post(body, headers)).status).to.equal(201);
    for (let repeat = 0; repeat < 5; repeat++) expect((await register.post({})).status).to.equal(422);
    expect(await rows()).to.deep.equal([{ source: "127.0.0.1/32", signer: "", since: NOW, count: 1 }]);
  });

  it("write one row for an attempt, none for one that they refuse", async () => {
    const made = await code();
    for (let wrong = 0; wrong < 4; wrong++) await wrongly(made);
    for (let right = 0; right < 5; right++) await rightly(await code(), "::1");
    expect(await rows()).to.deep.equal([
      { source: "127.0.0.1/32", signer: `code:${made.selector}`, since: NOW, count: 2 },
      { source: "::/64", signer: "", since: NOW, count: 3 },
    ]);
  });

  it("keep at most 18 rows for a source, whatever it names", async () => {
    await register[Symbol.asyncDispose]();
    register = await RegisterUnderTest.start(harness, { ...LIMITS, wrongProofsPerHour: 1_000 });
    for (let selector = 10; selector < 40; selector++) await wrongly({ selector: `000000${selector}` });
    await rightly(await code());
    const kept = await rows();
    expect(kept).to.have.length(18);
    expect(kept.slice(0, 2)).to.deep.equal([
      { source: "127.0.0.1/32", signer: "", since: NOW, count: 1 },
      { source: "127.0.0.1/32", signer: "*", since: NOW, count: 14 },
    ]);
  });
});

describe("the rows of attempts", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
  });
  afterEach(() => harness[Symbol.asyncDispose]());
  const count = (source: string, now: number) => harness.store.write((db) => countAttempt(db, { source, signer: "", now }));
  const sources = async () => (await harness.rows((db) => all(db.selectFrom("attempts").select("source")))).map((row) => row.source);

  it("count within a window, and begin anew behind it", async () => {
    expect(await count("a", NOW)).to.deep.equal({ since: NOW, count: 1 });
    expect(await count("a", NOW + ATTEMPT_WINDOW_MS - 1)).to.deep.equal({ since: NOW, count: 2 });
    expect(await count("a", NOW + ATTEMPT_WINDOW_MS)).to.deep.equal({ since: NOW + ATTEMPT_WINDOW_MS, count: 1 });
  });

  it("forget nothing when the clock is set back a little, and are not stuck when it was far ahead", async () => {
    await count("a", NOW);
    expect(await count("a", NOW - 60_000)).to.deep.equal({ since: NOW, count: 2 });
    expect(await count("a", NOW - ATTEMPT_WINDOW_MS)).to.deep.equal({ since: NOW - ATTEMPT_WINDOW_MS, count: 1 });
  });

  it("are taken away when their window is over", async () => {
    await count("old", NOW - ATTEMPT_WINDOW_MS);
    await count("new", NOW);
    await count("ahead", NOW + ATTEMPT_WINDOW_MS);
    expect(await harness.store.write((db) => trimAttempts(db, { now: NOW }))).to.equal(false);
    expect(await sources()).to.deep.equal(["new"]);
  });

  it("make room at their bound, those that began first", async () => {
    for (let row = 0; row < 6; row++) await count(`s${row}`, NOW + row);
    await harness.store.write((db) => trimAttempts(db, { now: NOW, most: 4 }));
    expect(await sources()).to.deep.equal(["s2", "s3", "s4", "s5"]);
  });

  it("are taken away in batches", async () => {
    await harness.store.write(function* (db) {
      for (let row = 0; row <= TRIM_BATCH; row++) yield* countAttempt(db, { source: `s${row}`, signer: "", now: NOW });
    });
    const later = NOW + ATTEMPT_WINDOW_MS;
    expect(await harness.store.write((db) => trimAttempts(db, { now: later }))).to.equal(true);
    expect(await sources()).to.have.length(1);
    expect(await harness.store.write((db) => trimAttempts(db, { now: later }))).to.equal(false);
    expect(await harness.rows((db) => readAttempts(db, { source: "s0", now: later }))).to.deep.equal([]);
  });
});
