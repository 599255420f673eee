import { createHash } from "node:crypto";
import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { csrFromPem } from "../../../lib/registration/csr.ts";
import { seal } from "../../../lib/seal.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { setProfile } from "../../../registry/process/profiles.ts";
import { permitReenroll } from "../../../registry/process/reenroll.ts";
import { all } from "../../../registry/store/store.ts";
import { opensslFolder } from "../ca/openssl.ts";
import { csr, testAuthorities } from "./authorities.ts";
import { Harness, SEALING, type TestDevice, unsigned } from "./harness.ts";

const HOUR_MS = 3_600_000;

describe("a re-enrolment, of which register says that it saw a client certificate", () => {
  let harness: Harness;
  let process: AsyncDisposable;
  let folder: ReturnType<typeof opensslFolder>;
  before(() => {
    folder = opensslFolder();
  });
  after(() => folder[Symbol.dispose]());
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = 1_795_000_000_000;
    process = await harness.process(["8.8.0.0/16"], await testAuthorities(harness.now));
  });
  afterEach(async () => {
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  type Certified = TestDevice & { readonly shown: string };
  const device = async (settings: Parameters<Harness["code"]>[0] = {}): Promise<Certified> => {
    const code = await harness.code({ pattern: "either", reenroll: true, certificateLifetimeMs: 6 * HOUR_MS, ...settings });
    const made = await harness.device(code, {}, { csr: await csr() });
    const [row] = await harness.rows((db) => all(db.selectFrom("certificates").select("fingerprint").where("device", "=", made.id)));
    return { ...made, shown: row?.fingerprint ?? "" };
  };
  /** A request that names what it says. */
  const naming = (urn: string): Buffer => {
    const more = ["-subj", `/CN=${urn}`, "-addext", `subjectAltName=URI:${urn}`];
    return csrFromPem(folder.run("req", "-new", "-newkey", "ed25519", "-noenc", "-keyout", "new.key", ...more).toString());
  };
  /** What register would store, or somebody who holds the open zone. */
  const store = async (of: TestDevice, row: Parameters<Harness["submit"]>[2] = {}, change: Parameters<Harness["submit"]>[1] = {}) => {
    const full = { csr: naming(`urn:entityos:device:${of.id}`), signature: "", ...row };
    const { status, body } = await harness.outcome(
      await harness.submit(of, { action: "reenroll", signer: of.signer, addresses: [], ...change }, full),
    );
    return { told: `${status} ${String(body.code ?? "")}`.trim(), body };
  };
  const certificates = (of: TestDevice) =>
    harness.rows((db) => all(db.selectFrom("certificates").select(["state", "ends_at"]).where("device", "=", of.id).orderBy("not_before")));
  const later = (ms: number): void => {
    harness.now = (harness.now ?? 0) + ms;
  };

  it("gives the next certificate; the one before goes on for an hour, and addresses stay", async () => {
    const one = await device();
    const rules = await harness.rules();
    later(5_000);
    const { told, body } = await store(one, { shown: one.shown });
    expect(told).to.equal("201");
    expect([body.device, body.pattern, (body.addresses as unknown[]).length]).to.deep.equal([one.id, "either", 1]);
    expect((await certificates(one)).map(({ state, ends_at }) => [state, ends_at - (harness.now ?? 0)])).to.deep.equal([
      ["live", HOUR_MS],
      ["live", 6 * HOUR_MS],
    ]);
    expect(await harness.rules()).to.deep.equal(rules);
    const trust = await harness.rows((db) => all(db.selectFrom("trust").select("body").where("target", "=", "certificate")));
    expect(trust.map(({ body: text }) => (JSON.parse(text) as { device: string }).device)).to.deep.equal([one.id, one.id]);
  });

  it("is refused for what is no live certificate of that very device", async () => {
    const [one, other, gone] = [await device(), await device(), await device()];
    await harness.store.write((db) => revokeDevice(db, harness.lead, { device: gone.id, now: harness.now ?? 0, actor: "test" }));
    const unknown = createHash("sha256").update("nobody's").digest("hex");
    for (const [of, shown] of [
      [one, unknown],
      [one, other.shown],
      [gone, gone.shown],
      [{ ...one, id: "0198f2c1-7d1e-7000-8000-0123456789ab", signer: "device:0198f2c1-7d1e-7000-8000-0123456789ab" }, one.shown],
    ] as const) {
      expect((await store(of, { shown })).told).to.equal("403 client_certificate");
    }
    expect(await certificates(one)).to.have.length(1);
  });

  it("is refused from the moment that the certificate ends, though nobody has swept it away yet", async () => {
    const one = await device();
    await process[Symbol.asyncDispose]();
    const ends = (harness.now ?? 0) + 6 * HOUR_MS;
    const at = (now: number): Promise<string> => {
      const submission = unsigned(one, now, { action: "reenroll", signer: one.signer, addresses: [] });
      const work = { id: one.registration, submission, observed: ["8.8.4.4"], allowed: [], plain: false, shown: one.shown, now };
      return harness
        .rows((db) => permitReenroll(db, harness.lead, work))
        .then(
          (act) => `for ${act.wants?.device === one.id ? "itself" : "another"}`,
          (error: unknown) => (error instanceof Problem ? error.code : String(error)),
        );
    };
    expect([await at(ends - 1), await at(ends)]).to.deep.equal(["for itself", "client_certificate"]);
  });

  it("is refused where the profile wants a proof, as the profile is now", async () => {
    const one = await device();
    const set = (settings: object) =>
      harness.store.write((db) =>
        setProfile(db, harness.lead, { name: "test", settings: { addresses: "any", ...settings }, now: 1, actor: "test" }),
      );
    await set({ pattern: "either", reenroll: false });
    expect((await store(one, { shown: one.shown })).told).to.equal("403 reenroll_refused");
    await set({ pattern: "ip", reenroll: true });
    expect((await store(one, { shown: one.shown })).told).to.equal("422 certificate_not_offered");
    expect(await certificates(one)).to.have.length(1);
  });

  it("counts the request's proof of possession and its names, which the open zone does not look at", async () => {
    const one = await device();
    const urn = `urn:entityos:device:${one.id}`;
    const broken = naming(urn);
    broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
    expect((await store(one, { shown: one.shown, csr: broken })).told).to.equal("422 csr_signature");
    expect((await store(one, { shown: one.shown, csr: naming("urn:entityos:device:other") })).told).to.equal("422 csr_subject");
    expect((await store(one, { shown: one.shown, csr: await csr() })).told).to.equal("422 csr_subject");
    expect((await store(one, { shown: one.shown, csr: Buffer.from("3000", "hex") })).told).to.equal("422 csr_format");
    expect(await certificates(one)).to.have.length(1);
  });

  it("cannot be used for anything else: another action, a code, no request, a code sealed beside it", async () => {
    const one = await device();
    const code = await harness.code({ pattern: "either", reenroll: true });
    const { shown } = one;
    for (const action of ["renew", "leave", "register"] as const)
      expect((await store(one, { shown }, { action })).told, action).to.equal("401 proof_refused");
    expect((await store(one, { shown }, { signer: `code:${code.selector}` })).told).to.equal("401 proof_refused");
    expect((await store(one, { shown, sealed: seal(Buffer.from(code.text), SEALING.publicKey, "") })).told).to.equal("401 proof_refused");
    const id = await harness.submit(one, { action: "reenroll", signer: one.signer, addresses: [] }, { shown, signature: "" });
    expect((await harness.outcome(id)).body.code).to.equal("proof_refused");
    expect(await certificates(one)).to.have.length(1);
  });

  it("is nothing that a device can sign for", async () => {
    const one = await device();
    const signed = await harness.submit(
      one,
      { action: "reenroll", signer: one.signer, addresses: [] },
      { csr: naming(`urn:entityos:device:${one.id}`) },
    );
    expect((await harness.outcome(signed)).body.code).to.equal("proof_refused");
  });
});
