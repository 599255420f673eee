import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { type Submission, signSubmission } from "../../../lib/registration/submission.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness, type TestDevice, unsigned } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

const KEY = "0123456789abcdefghijkl";

describe("a device's own requests", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  let device: TestDevice;
  beforeEach(async () => {
    harness = await Harness.open();
    process = await harness.process(["127.0.0.0/8", "::1/128"]);
    register = await RegisterUnderTest.start(harness);
    device = await harness.device(await harness.code({}, { uses: 9 }));
  });
  afterEach(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  const signed = (by: TestDevice, change: Partial<Submission>) => {
    const submission = unsigned(by, harness.clock.now(), { signer: by.signer, ...change });
    return { submission, signature: signSubmission(submission, by.privateKey) };
  };
  const renewal = (by: TestDevice, change: Partial<Submission> = {}) => {
    const { submission, signature } = signed(by, { action: "renew", ...change });
    const { nonce, time, addresses } = submission;
    return { device: submission.signer.slice("device:".length), proof: { nonce, time, signature }, addresses };
  };
  const renew = (body: unknown, headers: Record<string, string> = {}) =>
    register.send("POST", "/v1/renewals", { body: JSON.stringify(body), headers });
  const headers = (by: TestDevice, action: "leave" | "status") => {
    const { submission, signature } = signed(by, { action, addresses: [] });
    return { "entityos-nonce": submission.nonce, "entityos-time": String(submission.time), "entityos-signature": signature };
  };
  const leave = (id: string, by: TestDevice, more: Record<string, string> = {}) =>
    register.send("DELETE", `/v1/registrations/${id}`, { headers: { ...headers(by, "leave"), ...more } });
  const submissions = async () => (await harness.rows((db) => all(db.selectFrom("submissions").select("id")))).length;

  it("renew what it holds, with 201 and the place where the renewal stands, which its key may ask for", async () => {
    const { status, body, headers: sent } = await renew(renewal(device, { addresses: ["observed", "2606:4700::/64"] }));
    expect(status).to.equal(201);
    expect(body).to.have.all.keys("id", "device", "pattern", "addresses", "sync");
    expect(body).to.have.nested.property("addresses[0].prefix", "127.0.0.1/32");
    expect(body).to.have.nested.property("addresses[1].prefix", "2606:4700::/64");
    expect(sent.location).to.equal(`/v1/registrations/${String(body.id)}`);
    const asked = await register.send("GET", String(sent.location), { headers: headers(device, "status") });
    expect([asked.status, asked.body]).to.deep.equal([200, { ...body, ended: null }]);
  });

  it("get the first outcome under one Idempotency-Key", async () => {
    const body = renewal(device);
    const [one, two] = [await renew(body, { "idempotency-key": KEY }), await renew(body, { "idempotency-key": KEY })];
    expect(two.body).to.deep.equal(one.body);
    const left = await leave(device.registration, device, { "idempotency-key": KEY });
    expect([left.status, left.body.code]).to.deep.equal([422, "idempotency_key_reused"]);
  });

  it("are stored durably before they are answered, and may be asked for by the key that signed them", async () => {
    await process[Symbol.asyncDispose]();
    const { status, body, headers: sent } = await renew(renewal(device));
    expect([status, body.state]).to.deep.equal([202, "stored"]);
    const asked = await register.send("GET", String(sent.location), { headers: headers(device, "status") });
    expect(asked.body).to.deep.equal({ id: body.id, state: "stored" });
  });

  it("give an unknown device, a wrong proof and a device without a key one answer, and store none", async () => {
    const keyless = await harness.register(await harness.code());
    const before = await submissions();
    const stranger = { ...device, privateKey: generateKeyPairSync("ed25519").privateKey };
    const answers = [
      await renew(renewal(stranger)),
      await renew(renewal(device, { signer: `device:${crypto.randomUUID()}` })),
      await renew(renewal(stranger, { signer: `device:${String(keyless.body.device)}` })),
      await renew(renewal(device, { action: "status" })),
      await renew({ ...renewal(device), addresses: ["9.9.9.9"] }),
    ];
    expect(answers.map(({ text }) => text)).to.deep.equal(Array(5).fill(answers[0]?.text));
    expect([answers[0]?.status, answers[0]?.body.code]).to.deep.equal([401, "proof_refused"]);
    expect(await submissions()).to.equal(before);
  });

  for (const [problem, change] of [
    ["request_invalid", { device: "0" }],
    ["request_invalid", { proof: undefined }],
    ["request_invalid", { deviceKey: "A".repeat(43) }],
    ["nothing_requested", { addresses: [] }],
    ["csr_format", { csr: "-----BEGIN CERTIFICATE REQUEST-----" }],
  ] as const) {
    it(`refuse ${JSON.stringify(change)}: ${problem}`, async () => {
      const { status, body } = await renew({ ...renewal(device), ...change });
      expect([status, body.code]).to.deep.equal([422, problem]);
    });
  }

  it("let it leave, by any of its registrations, and tell it afterwards that it left", async () => {
    const renewed = await renew(renewal(device));
    const { status, body } = await leave(String(renewed.body.id), device);
    expect([status, body.device, body.addresses, body.sync]).to.deep.equal([200, device.id, [], { applied: 0, agents: 0 }]);
    expect(await harness.rules()).to.deep.equal([]);
    expect((await leave(device.registration, device)).status).to.equal(200);
    const asked = await register.send("GET", `/v1/registrations/${device.registration}`, { headers: headers(device, "status") });
    expect([asked.status, asked.body.ended]).to.deep.equal([200, "left"]);
    const after = await renew(renewal(device));
    expect([after.status, after.body.code]).to.deep.equal([403, "device_left"]);
  });

  it("are a 404 when they would end another's registration", async () => {
    const other = await harness.device(await harness.code());
    const before = await submissions();
    const answers = [
      await leave(device.registration, other),
      await leave(device.registration, { ...other, signer: device.signer }),
      await leave(crypto.randomUUID(), device),
      await leave("none", device),
      await register.send("DELETE", `/v1/registrations/${device.registration}`, { headers: headers(device, "status") }),
      await register.send("DELETE", `/v1/registrations/${device.registration}`),
    ];
    expect(answers.map(({ text }) => text)).to.deep.equal(Array(6).fill(answers[0]?.text));
    expect([answers[0]?.status, answers[0]?.body.code]).to.deep.equal([404, "registration_unknown"]);
    expect([await submissions(), (await harness.rules()).length]).to.deep.equal([before, 1]);
  });
});
