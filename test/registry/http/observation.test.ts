import { expect } from "chai";
import { PROOF_WINDOW_MS } from "../../../lib/registration/submission.ts";
import { Observations } from "../../../registry/http/observation.ts";
import { Harness, type TestCode } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

const START = 1_800_000_000_000;
const BOTH = { addresses: ["observed4", "observed6"] };

describe("a ticket of an observed address", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  let code: TestCode;
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = START;
    process = await harness.process(["127.0.0.0/8", "::1/128"]);
    register = await RegisterUnderTest.start(harness);
    code = await harness.code({ addresses: "observed", observed6: 128 }, { expiresAt: START * 2, uses: 9 });
  });
  afterEach(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });
  const ticket = async (host: string) => String((await register.send("GET", "/v1/address", { host })).body.ticket);
  const prefixes = ({ body }: { body: Record<string, unknown> }) =>
    body.code ?? (body.addresses as { prefix: string }[]).map(({ prefix }) => prefix);

  it("registers both families by one signed request, over either", async () => {
    const over4 = await register.post({ ...register.body(code, BOTH), observations: [await ticket("::1")] });
    expect(prefixes(over4)).to.deep.equal(["127.0.0.1/32", "::1/128"]);
    const over6 = await register.post({ ...register.body(code, BOTH), observations: [await ticket("127.0.0.1")] }, {}, "::1");
    expect(prefixes(over6)).to.deep.equal(["127.0.0.1/32", "::1/128"]);
  });

  it("is needed for a family that the request does not come over", async () => {
    expect(prefixes(await register.post(register.body(code, BOTH)))).to.equal("address_not_observed");
    expect(prefixes(await register.post(register.body(code, { addresses: ["::1"] })))).to.equal("address_not_observed");
  });

  it("counts as long as a proof, from any replica over the same Storage, and from nowhere else", async () => {
    const made = await ticket("::1");
    const replica = await Observations.start(harness.store, harness.clock);
    expect(replica.read(made)).to.deep.equal({ address: "::1", time: START });
    await using elsewhere = await Harness.open();
    const stranger = await Observations.start(elsewhere.store, harness.clock);
    const [time = "", address = "", mac = ""] = made.split(".");
    const other = Buffer.from("127.0.0.1").toString("base64url");
    const wrong = [
      "",
      made.slice(1),
      `${Number(time) + 1}.${address}.${mac}`,
      `${time}.${other}.${mac}`,
      stranger.ticket("::1"),
      `${made}A`,
    ];
    for (const text of wrong) {
      const answer = await register.post({ ...register.body(code, BOTH), observations: [text] });
      expect([answer.status, answer.body.code]).to.deep.equal([422, "observation_refused"]);
    }
    harness.now = START + PROOF_WINDOW_MS;
    const both = register.body(code, BOTH);
    const old = { ...both, observations: [made] };
    expect(prefixes(await register.post(old))).to.deep.equal(["127.0.0.1/32", "::1/128"]);
    harness.now += 1;
    expect(prefixes(await register.post({ ...register.body(code, BOTH), observations: [made] }))).to.equal("observation_refused");
    expect(await harness.used(code)).to.equal(1);
  });

  it("may have grown old in a repeat under the same Idempotency-Key, which gets the first outcome", async () => {
    const body = { ...register.body(code, BOTH), observations: [await ticket("::1")] };
    const key = { "idempotency-key": "0123456789abcdef0123456789abcdef" };
    const first = await register.post(body, key);
    expect(prefixes(first)).to.deep.equal(["127.0.0.1/32", "::1/128"]);
    harness.now = START + PROOF_WINDOW_MS + 60_000;
    const again = await register.post(body, key);
    expect([again.status, again.body.id, await harness.used(code)]).to.deep.equal([201, first.body.id, 1]);
    const late = await register.post(body, { "idempotency-key": "fedcba9876543210fedcba9876543210" });
    expect(["proof_time", "observation_refused"]).to.include(late.body.code);
  });
});
