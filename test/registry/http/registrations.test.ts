import { expect } from "chai";
import { PROOF_WINDOW_MS } from "../../../lib/registration/submission.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness, nonce } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

const KEY = "0123456789abcdefghijkl";
const MINUTE_MS = 60_000;

describe("POST /v1/registrations", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  beforeEach(async () => {
    harness = await Harness.open();
    process = await harness.process(["127.0.0.0/8", "::1/128"]);
    register = await RegisterUnderTest.start(harness);
  });
  afterEach(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  const count = async (table: "submissions" | "devices") => (await harness.rows((db) => all(db.selectFrom(table).select("id")))).length;

  it("registers the address that the connection comes from, whatever headers say, and tells on how many agents it is in force", async () => {
    for (const [name, revoked_at, zone] of [
      ["a", null, "restricted"],
      ["b", 5, "restricted"],
      ["c", null, "open"],
      ["d", null, "restricted"],
    ] as const) {
      const acked_revision = name === "d" ? 1 : 0;
      await harness.store.write((db) =>
        all(db.insertInto("agents").values({ name, zone, revoked_at, acked_revision, fingerprint: "f", enrolled_at: 1, seen_at: null })),
      );
    }
    const code = await harness.code();
    const headers = { "x-forwarded-for": "9.9.9.9", forwarded: "for=9.9.9.9" };
    const { status, body, headers: sent } = await register.post(register.body(code), headers);
    expect(status).to.equal(201);
    expect(body).to.have.all.keys("id", "device", "pattern", "addresses", "sync");
    expect(body).to.deep.include({ pattern: "ip", sync: { applied: 1, agents: 2 } });
    expect(body.addresses).to.have.nested.property("[0].prefix", "127.0.0.1/32");
    expect(sent).to.include({ location: `/v1/registrations/${String(body.id)}`, "cache-control": "no-store" });
  });

  it("has stored a registration durably before it answers, also when nobody processes it", async () => {
    await process[Symbol.asyncDispose]();
    const code = await harness.code();
    const { status, body, headers } = await register.post(register.body(code));
    expect([status, body.state]).to.deep.equal([202, "stored"]);
    expect(headers.location).to.equal(`/v1/registrations/${String(body.id)}`);
    expect(await harness.rows((db) => all(db.selectFrom("inbox").select("submission")))).to.deep.equal([{ submission: body.id }]);
  });

  it("makes ten devices of ten alike bodies from one address", async () => {
    const code = await harness.code({}, { uses: 10 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => register.post(register.body(code))));
    expect(answers.map(({ status }) => status)).to.deep.equal(Array(10).fill(201));
    expect(new Set(answers.map(({ body }) => body.device)).size).to.equal(10);
  });

  it("registers over IPv6", async () => {
    const code = await harness.code({ observed6: 128 });
    const { body } = await register.post(register.body(code), {}, "::1");
    expect(body.addresses).to.have.nested.property("[0].prefix", "::1/128");
  });

  it("answers a repeat under its Idempotency-Key with the first outcome for 15 minutes, and spends nothing", async () => {
    harness.now = 1_800_000_000_000;
    const code = await harness.code({}, { uses: 2, expiresAt: 1_900_000_000_000 });
    const body = register.body(code);
    const first = await register.post(body, { "idempotency-key": KEY });
    harness.now += 15 * MINUTE_MS;
    const again = await register.post(body, { "idempotency-key": KEY });
    expect([first.status, again.status]).to.deep.equal([201, 201]);
    expect(again.body).to.deep.equal(first.body);
    expect([await harness.used(code), await count("submissions")]).to.deep.equal([1, 1]);
    harness.now += 1;
    expect((await register.post(body, { "idempotency-key": KEY })).body.code).to.equal("proof_time");
    const later = await register.post(register.body(code), { "idempotency-key": KEY });
    expect([later.status, await harness.used(code)]).to.deep.equal([201, 2]);
  });

  it("makes one device of many repeats at once", async () => {
    const code = await harness.code({}, { uses: 9 });
    const body = register.body(code);
    const answers = await Promise.all(Array.from({ length: 9 }, () => register.post(body, { "idempotency-key": KEY })));
    expect(new Set(answers.map((answer) => JSON.stringify([answer.status, answer.body.device]))).size).to.equal(1);
    expect([await harness.used(code), await count("devices")]).to.deep.equal([1, 1]);
  });

  it("answers a repeat with the first refusal too", async () => {
    const body = register.body(await harness.code(), { addresses: ["10.0.0.1"] });
    const answers = [await register.post(body, { "idempotency-key": KEY }), await register.post(body, { "idempotency-key": KEY })];
    expect(answers.map((answer) => answer.body.code)).to.deep.equal(["address_private", "address_private"]);
    expect(await count("submissions")).to.equal(1);
  });

  it("refuses the key with another body, and the body without the key", async () => {
    const code = await harness.code({}, { uses: 3 });
    const body = register.body(code);
    await register.post(body, { "idempotency-key": KEY });
    const other = await register.post(register.body(code), { "idempotency-key": KEY });
    expect([other.status, other.body.code]).to.deep.equal([422, "idempotency_key_reused"]);
    const without = await register.post(body);
    expect([without.status, without.body.code]).to.deep.equal([409, "proof_replayed"]);
    expect(await harness.used(code)).to.equal(1);
  });

  for (const key of ["short", "0123456789abcdefghijk", "0123456789abcdefghijk!", "a".repeat(129)]) {
    it(`refuses the Idempotency-Key ${key.slice(0, 24)}`, async () => {
      const { status, body } = await register.post(register.body(await harness.code()), { "idempotency-key": key });
      expect([status, body.code]).to.deep.equal([422, "idempotency_key"]);
    });
  }

  it("gives an unknown selector and a wrong proof one answer, and stores neither", async () => {
    const code = await harness.code();
    const unknown = await register.post({ ...register.body(code), selector: "00000000" });
    const wrong = await register.post(register.body({ ...code, privateKey: (await harness.code()).privateKey }));
    expect([unknown.status, unknown.text]).to.deep.equal([wrong.status, wrong.text]);
    expect([unknown.status, unknown.body.code]).to.deep.equal([401, "proof_refused"]);
    expect(await count("submissions")).to.equal(0);
  });

  it("refuses a proof out of time with the registry's time, and stores nothing", async () => {
    harness.now = 1_800_000_000_000;
    const code = await harness.code({}, { expiresAt: 1_900_000_000_000 });
    for (const skew of [-PROOF_WINDOW_MS - 1, PROOF_WINDOW_MS + 1]) {
      const { status, body } = await register.post(register.body(code, { time: harness.now + skew }));
      expect([status, body.code, body.now]).to.deep.equal([401, "proof_time", 1_800_000_000_000]);
    }
    expect(await count("submissions")).to.equal(0);
    expect((await register.post(register.body(code, { time: harness.now - PROOF_WINDOW_MS }))).status).to.equal(201);
  });

  const bad: readonly [problem: string, change: Record<string, unknown>][] = [
    ["422 request_invalid", { code: "AAAAA-AAAAA" }],
    ["422 csr_format", { csr: "-----BEGIN CERTIFICATE REQUEST-----" }],
    ["422 nothing_requested", { addresses: [] }],
    ["422 nothing_requested", { addresses: undefined }],
    ["422 request_invalid", { proof: undefined }],
    ["422 request_invalid", { selector: "lower123" }],
    ["422 request_invalid", { addresses: ["8.8.8.8,9.9.9.9"] }],
    ["422 request_invalid", { addresses: ["8.8.8.8\nsigner:x"] }],
    ["422 request_invalid", { addresses: Array(65).fill("8.8.8.8") }],
    ["422 request_invalid", { addresses: "observed" }],
    ["422 request_invalid", { deviceKey: "short" }],
    ["422 request_invalid", { extra: 1 }],
    ["422 request_invalid", { proof: { nonce: nonce(), time: "1", signature: "A".repeat(86) } }],
    ["422 request_invalid", { proof: { nonce: "short", time: 1, signature: "A".repeat(86) } }],
    ["422 request_invalid", { proof: { nonce: nonce(), time: 1, signature: "short" } }],
    ["401 proof_refused", { deviceKey: "A".repeat(43) }],
    ["401 proof_refused", { addresses: ["9.9.9.9"] }],
  ];
  for (const [problem, change] of bad) {
    it(`refuses ${JSON.stringify(change).slice(0, 60)}: ${problem}`, async () => {
      const answer = await register.post({ ...register.body(await harness.code()), ...change });
      expect(`${answer.status} ${String(answer.body.code)}`).to.equal(problem);
      expect(answer.headers["content-type"]).to.equal("application/problem+json");
      expect(await count("submissions")).to.equal(0);
    });
  }

  it("never tells what failed inside", async () => {
    await harness.store[Symbol.asyncDispose]();
    const { status, body, text, headers } = await register.post({
      selector: "00000000",
      proof: { nonce: nonce(), time: 1, signature: "A".repeat(86) },
      addresses: ["observed"],
    });
    expect([status, body.code, headers["retry-after"]]).to.deep.equal([503, "storage_unavailable", "1"]);
    expect(text).not.to.match(/sqlite|closed|stack/i);
  });
});
