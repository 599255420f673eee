import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { systemClock } from "../../../lib/clock.ts";
import { PROOF_WINDOW_MS } from "../../../lib/registration/submission.ts";
import { type Authorities, openAuthorities } from "../../../registry/ca/authorities.ts";
import { awsParts } from "../../../registry/ca/aws/api.ts";
import { Kms } from "../../../registry/ca/aws/kms.ts";
import { kmsKeys } from "../../../registry/ca/aws/kms-keys.ts";
import { makePki } from "../../../registry/ca/files.ts";
import { trustAlarms } from "../../../registry/process/ca-alarms.ts";
import { MAX_WAITING_FOR_SIGNER } from "../../../registry/process/intake.ts";
import { readCrlStates } from "../../../registry/store/crls.ts";
import { all } from "../../../registry/store/store.ts";
import { AwsDouble } from "../../aws/double.ts";
import { FakeKms } from "../../aws/kms.ts";
import { csr } from "./authorities.ts";
import { Harness } from "./harness.ts";

describe("Process while the CA's key cannot be used", function () {
  this.timeout(60_000);
  let harness: Harness;
  let double: AwsDouble;
  let authorities: Authorities;
  let folder: string;
  const service = new FakeKms();
  const key = service.create();
  const infrastructure = service.create();

  beforeEach(async () => {
    harness = await Harness.open();
    double = await AwsDouble.start(service);
    folder = mkdtempSync(join(tmpdir(), "entityos-away-"));
    const keys = kmsKeys(new Kms({ ...awsParts(double.environment, systemClock), attemptMs: 1_000 }, double.endpoint), {
      root: [],
      infrastructure: [infrastructure.arn],
      device: [key.arn],
    });
    await makePki(folder, Date.now(), "P-256", keys);
    authorities = openAuthorities(folder, "https://register.example", keys);
  });
  afterEach(async () => {
    key.permitted = true;
    infrastructure.permitted = true;
    await double[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const withRequest = async (code: Awaited<ReturnType<Harness["code"]>>) => harness.submit(code, { addresses: [] }, { csr: await csr() });
  const waiting = async () => (await harness.rows((db) => all(db.selectFrom("inbox").select("submission")))).length;
  /** Resolves when KMS was asked to sign so often more. */
  const asked = (times = 1) =>
    new Promise<void>((resolve) => {
      let left = times;
      double.arrived = async (operation) => {
        if (operation === "Sign" && --left === 0) resolve();
      };
    });

  it("lets in who needs no certificate, keeps who does, and serves all of them once the key is back", async () => {
    await using _process = await harness.process([], authorities);
    const certified = await harness.code({ pattern: "cert" }, { uses: 20, profile: "certified" });
    const plain = await harness.code({}, { uses: 20, profile: "plain" });
    key.permitted = false;
    // Twenty in vain, and then one that asks whether it is back.
    const inVain = asked(21);
    const ids = await Promise.all(Array.from({ length: 20 }, () => withRequest(certified)));
    await inVain;
    const answers = await Promise.all(Array.from({ length: 20 }, () => harness.register(plain)));
    expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([201]));
    expect([await waiting(), await harness.used(certified)]).to.deep.equal([20, 0]);
    key.permitted = true;
    const outcomes = await Promise.all(ids.map((id) => harness.outcome(id)));
    expect(new Set(outcomes.map(({ status }) => status))).to.deep.equal(new Set([201]));
    expect([await waiting(), await harness.used(certified)]).to.deep.equal([0, 20]);
  });

  it("keeps them longer than a proof lasts, however often it tried: each proof was in time when it came", async () => {
    harness.now = Date.now();
    await using _process = await harness.process([], authorities);
    key.permitted = false;
    const id = await withRequest(await harness.code({ pattern: "cert" }));
    for (let times = 0; times < 5; times++) await asked();
    harness.now += PROOF_WINDOW_MS + 1;
    await asked();
    expect(await waiting()).to.equal(1);
    key.permitted = true;
    expect((await harness.outcome(id)).status).to.equal(201);
  });

  it("refuses those beyond so many by name, with nothing spent", async () => {
    const code = await harness.code({ pattern: "cert" }, { uses: 10_000 });
    const request = await csr();
    await using _process = await harness.process([], authorities);
    key.permitted = false;
    const submit = () => harness.submit(code, { addresses: [] }, { csr: request });
    await Promise.all(Array.from({ length: MAX_WAITING_FOR_SIGNER }, submit));
    await asked();
    const beyond = await Promise.all([submit(), submit()]);
    for (const id of beyond) expect((await harness.outcome(id)).body).to.deep.include({ status: 503, code: "signer_unavailable" });
    expect([await waiting(), await harness.used(code)]).to.deep.equal([MAX_WAITING_FOR_SIGNER, 0]);
  });

  it("is told to the operator, until it is over", async () => {
    await using _process = await harness.process([], authorities);
    const alarms = () => harness.rows((db) => trustAlarms(db, { authorities: authorities.all, listeners: [], now: Date.now() }));
    expect(await alarms()).to.deep.equal([]);
    key.permitted = false;
    const id = await withRequest(await harness.code({ pattern: "cert" }));
    await asked();
    await asked();
    const [alarm, ...more] = await alarms();
    expect([alarm?.alarm, alarm?.subject, more]).to.deep.equal(["signer_unavailable", authorities.device?.id, []]);
    key.permitted = true;
    await harness.outcome(id);
    expect(await alarms()).to.deep.equal([]);
  });

  it("begins, with the lists from before, and renews the other CAs' lists meanwhile", async () => {
    harness.now = Date.now();
    await (await harness.process([], authorities))[Symbol.asyncDispose]();
    const numbers = async () => Object.fromEntries((await harness.rows(readCrlStates)).map(({ ca, number }) => [ca.split("-")[0], number]));
    const before = await numbers();
    infrastructure.permitted = false;
    harness.now += 4 * 24 * 60 * 60_000;
    await using _process = await harness.process([], authorities);
    const after = await numbers();
    expect(after.infrastructure).to.equal(before.infrastructure);
    expect(after.device).to.be.greaterThan(Number(before.device));
    expect((await harness.register(await harness.code())).status).to.equal(201);
    infrastructure.permitted = true;
    await harness.until(async () => (await numbers()).infrastructure !== before.infrastructure);
  });
});
