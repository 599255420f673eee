import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { expect } from "chai";
import { rawPublicKey } from "../../../lib/registration/code.ts";
import { PROOF_WINDOW_MS, signSubmission } from "../../../lib/registration/submission.ts";
import { Harness, unsigned } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

const MINUTE_MS = 60_000;

describe("GET /v1/registrations/{id}", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = 1_800_000_000_000;
    register = await RegisterUnderTest.start(harness);
  });
  afterEach(async () => {
    await register[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });
  const device = generateKeyPairSync("ed25519");
  const deviceKey = rawPublicKey(device.publicKey);

  const ask = (id: string, signer: string, key: KeyObject, change: { time?: number; registry?: string; action?: "register" } = {}) => {
    const submission = unsigned({ selector: "" }, harness.clock.now(), { action: "status", signer, addresses: [], ...change });
    const headers = {
      "entityos-nonce": submission.nonce,
      "entityos-time": String(submission.time),
      "entityos-signature": signSubmission(submission, key),
    };
    return register.send("GET", `/v1/registrations/${id}`, { headers });
  };
  const summary = ({ status, body }: { status: number; body: Record<string, unknown> }) =>
    `${status} ${String(body.code ?? body.state ?? body.device)}`;

  it("tells the key that signed it that it is stored, and then the outcome, as long as a repeat would be told", async () => {
    const code = await harness.code({}, { expiresAt: 1_900_000_000_000 });
    const id = await harness.submit(code, { deviceKey });
    const asked = () => ask(id, `code:${code.selector}`, code.privateKey);
    expect(summary(await asked())).to.equal("200 stored");
    await using _process = await harness.process();
    const { body } = await harness.outcome(id);
    const answer = await asked();
    expect(answer.body).to.deep.equal({ ...body, sync: { applied: 0, agents: 0 }, ended: null });
    harness.now = 1_800_000_000_000 + 15 * MINUTE_MS;
    expect(summary(await asked())).to.equal(`200 ${String(body.device)}`);
    harness.now += 1;
    expect(summary(await asked())).to.equal("404 registration_unknown");
    expect(summary(await ask(id, `device:${String(body.device)}`, device.privateKey))).to.equal(`200 ${String(body.device)}`);
  });

  it("tells the refusal of a registration as it was decided", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { expiresAt: 1_900_000_000_000 });
    const id = await harness.submit(code, { addresses: ["10.0.0.1"] });
    await harness.outcome(id);
    expect(summary(await ask(id, `code:${code.selector}`, code.privateKey))).to.equal("422 address_private");
  });

  it("is unknown to everyone else", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { expiresAt: 1_900_000_000_000 });
    const other = await harness.code({}, { expiresAt: 1_900_000_000_000 });
    const id = await harness.submit(code, { deviceKey });
    const name = `device:${String((await harness.outcome(id)).body.device)}`;
    const stranger = generateKeyPairSync("ed25519").privateKey;
    const answers = await Promise.all([
      ask(id, name, stranger),
      ask(id, name, code.privateKey),
      ask(id, `code:${code.selector}`, device.privateKey),
      ask(id, `code:${other.selector}`, other.privateKey),
      ask(id, name, device.privateKey, { time: harness.clock.now() - PROOF_WINDOW_MS - 1 }),
      ask(id, name, device.privateKey, { registry: "other.example" }),
      ask(id, name, device.privateKey, { action: "register" }),
      ask("01a20ada-8228-7003-bcb7-c58f43e10ba0", name, device.privateKey),
      ask("none", name, device.privateKey),
      register.send("GET", `/v1/registrations/${id}`),
    ]);
    expect(answers.map(({ text }) => text)).to.deep.equal(Array(10).fill(answers[0]?.text));
    expect(answers.map(summary)).to.deep.equal(Array(10).fill("404 registration_unknown"));
    expect(summary(await ask(id, name, device.privateKey))).to.match(/^200 [0-9a-f-]{36}$/);
  });
});
