import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { expect } from "chai";
import { generateCode } from "../../../lib/registration/code.ts";
import { type Submission, signSubmission } from "../../../lib/registration/submission.ts";
import { all, type Builder, type Command, type Rider, type Store, type Together, type Topic } from "../../../registry/store/store.ts";
import { Harness, unsigned } from "../process/harness.ts";
import { withCheck } from "./check-character.ts";
import { type Answer, RegisterUnderTest } from "./client.ts";

/** What a request cost, one line for each query and each signature that was verified. */
class Ledger {
  readonly lines: string[] = [];
  readonly #verify = crypto.verify;

  watch(store: Store): Store {
    const { lines } = this;
    function* noted<T>(command: Command<T>): Command<T> {
      let step = command.next();
      while (!step.done) {
        lines.push(step.value.sql);
        step = command.next((yield step.value) as readonly unknown[]);
      }
      return step.value;
    }
    return Object.assign(Object.create(store) as Store, {
      read: <T>(command: (db: Builder) => Command<T>) => store.read((db) => noted(command(db))),
      write: <T>(command: (db: Builder) => Command<T>, wakes: Parameters<Store["write"]>[1]) =>
        store.write((db) => noted(command(db)), wakes),
      writeTogether: <I, T>(command: Together<I, T>, input: I, wakes: Parameters<Store["write"]>[1]) =>
        store.writeTogether<I, T>((db, inputs) => noted(command(db, inputs)), input, wakes),
      watch: (...args: Parameters<Store["watch"]>) => store.watch(...args),
      ride: <T>(topic: Topic, rider: Rider<T>) => store.ride(topic, rider),
    });
  }

  countVerifications(): void {
    crypto.verify = ((...args: Parameters<typeof crypto.verify>) => {
      this.lines.push("verify");
      return this.#verify(...args);
    }) as typeof crypto.verify;
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    crypto.verify = this.#verify;
    syncBuiltinESMExports();
  }
}

describe("a refusal that must tell nothing", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let ledger: Ledger;
  beforeEach(async () => {
    ledger = new Ledger();
    harness = await Harness.open();
    const watched: Harness = Object.create(harness, { store: { value: ledger.watch(harness.store) } });
    register = await RegisterUnderTest.start(watched);
    ledger.countVerifications();
  });
  afterEach(async () => {
    ledger[Symbol.dispose]();
    await register[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  /** The answers and what each cost, which are to be one. */
  async function compared(...requests: (() => Promise<Answer>)[]): Promise<{ answers: string[]; costs: string[]; cost: string[] }> {
    const [answers, costs]: [Set<string>, Set<string>] = [new Set(), new Set()];
    let cost: string[] = [];
    for (const request of requests) {
      ledger.lines.length = 0;
      const { status, text } = await request();
      cost = [...ledger.lines];
      answers.add(`${status} ${(JSON.parse(text) as { code: string }).code} ${text}`);
      costs.add(cost.join("\n"));
    }
    return { answers: [...answers], costs: [...costs], cost };
  }
  const verified = (cost: string[]): number => cost.filter((line) => line === "verify").length;
  const UUID = "01a20ada-8228-7003-bcb7-c58f43e10ba0";

  it("costs the same for an unknown selector, a wrong proof, and a code that is withdrawn, spent or expired", async () => {
    const code = await harness.code();
    const ended = await harness.code({}, { expiresAt: 5 });
    const { privateKey } = generateCode();
    const by = (selector: string) => () => register.post(register.body({ ...code, selector, privateKey }));
    const { answers, costs, cost } = await compared(by(code.selector), by("00000000"), by(ended.selector));
    expect(answers).to.have.length(1);
    expect(answers[0]).to.match(/^401 proof_refused /);
    expect(costs).to.have.length(1);
    expect([cost.length, verified(cost)]).to.deep.equal([5, 1]);
  });

  it("costs the same for an unknown device, a wrong proof, and a device without a key or that has ended", async () => {
    const process = await harness.process();
    const code = await harness.code({}, { uses: 9 });
    const [device, left] = [await harness.device(code), await harness.device(code)];
    const keyless = String((await harness.register(code)).body.device);
    await harness.own(left, "leave");
    await process[Symbol.asyncDispose]();
    const { privateKey } = generateCode();
    const by = (id: string) => () => {
      const submission: Submission = unsigned(device, harness.clock.now(), { action: "renew", signer: `device:${id}` });
      const { nonce, time, addresses } = submission;
      const proof = { nonce, time, signature: signSubmission(submission, privateKey) };
      return register.send("POST", "/v1/renewals", { body: JSON.stringify({ device: id, proof, addresses }) });
    };
    const { answers, costs, cost } = await compared(by(device.id), by(UUID), by(keyless), by(left.id));
    expect(answers).to.have.length(1);
    expect(answers[0]).to.match(/^401 proof_refused /);
    expect(costs).to.have.length(1);
    expect([cost.length, verified(cost)]).to.deep.equal([5, 1]);
  });

  it("costs the same for an unknown registration and a wrong proof, to read and to leave", async () => {
    const process = await harness.process();
    const device = await harness.device(await harness.code());
    await process[Symbol.asyncDispose]();
    const headers = {
      "entityos-nonce": "A".repeat(22),
      "entityos-time": String(harness.clock.now()),
      "entityos-signature": "A".repeat(86),
    };
    for (const [method, verifications] of [
      ["GET", 2],
      ["DELETE", 1],
    ] as const) {
      const by = (id: string) => () => register.send(method, `/v1/registrations/${id}`, { headers });
      const { answers, costs, cost } = await compared(by(device.registration), by(UUID));
      expect([answers.length, costs.length, verified(cost)]).to.deep.equal([1, 1, verifications]);
      expect(answers[0]).to.match(/^404 registration_unknown /);
    }
  });

  it("costs the same for a code that is sent itself, whether there is such a selector or its profile allows that", async () => {
    const [open, closed] = [await harness.code({ plainCode: true }), await harness.code({}, { profile: "closed" })];
    const secret = "0".repeat(26);
    const by = (selector: string) => () => register.post({ code: withCheck(selector + secret), addresses: ["observed"] });
    const { answers, costs, cost } = await compared(by(open.selector), by("00000000"), by(closed.selector));
    expect([answers.length, costs.length, cost.length, verified(cost)]).to.deep.equal([1, 1, 4, 0]);
    expect(answers[0]).to.match(/^401 proof_refused /);
  });

  it("is told apart from what a right proof is told", async () => {
    const code = await harness.code({}, { uses: 1, expiresAt: 5 });
    await using _process = await harness.process();
    expect((await register.post(register.body(code))).body.code).to.equal("code_expired");
    expect(await harness.rows((db) => all(db.selectFrom("attempts").select(["signer", "count"])))).to.deep.equal([
      { signer: "", count: 1 },
    ]);
  });
});
