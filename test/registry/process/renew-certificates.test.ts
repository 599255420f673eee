import { createHash, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { MAX_LIVE_CERTIFICATES, OVERLAP_MS } from "../../../registry/process/held-certificates.ts";
import { revokeListed } from "../../../registry/process/listed-certificates.ts";
import { setProfile } from "../../../registry/process/profiles.ts";
import { all } from "../../../registry/store/store.ts";
import { csr, testAuthorities } from "./authorities.ts";
import { Harness, HOUR_MS, type TestDevice } from "./harness.ts";

const START = Date.UTC(2026, 10, 24, 12, 0, 0);
const DAY_MS = 24 * HOUR_MS;

describe("a device's certificates", () => {
  let harness: Harness;
  let process: AsyncDisposable;
  let authorities: Awaited<ReturnType<typeof testAuthorities>>;
  before(async () => {
    authorities = await testAuthorities(START);
  });
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = START;
    process = await harness.process([], authorities);
  });
  afterEach(async () => {
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  const enrolled = async (pattern: "cert" | "either" | "both") => {
    const code = await harness.code({ pattern, certificateLifetimeMs: DAY_MS, addressLifetimeMs: 30 * DAY_MS });
    return harness.device(code, { addresses: pattern === "cert" ? [] : ["8.8.8.8"] }, { csr: await csr() });
  };
  const renew = async (device: TestDevice, addresses: string[] = []) => harness.own(device, "renew", { addresses }, { csr: await csr() });
  /** State, and how long it still counts. */
  const listed = async () =>
    (await harness.rows((db) => all(db.selectFrom("certificates").selectAll().where("device", "is not", null).orderBy("ends_at")))).map(
      ({ state, reason, ends_at }) => `${state}${reason === null ? "" : ` ${reason}`} ${ends_at - START}`,
    );
  /** What the gates are told: pattern by fingerprint. */
  const trusted = async () =>
    new Map(
      (await harness.rows((db) => all(db.selectFrom("trust").selectAll().where("target", "=", "certificate")))).map(({ id, body }) => [
        id,
        (JSON.parse(body) as { pattern: string }).pattern,
      ]),
    );
  const profile = (settings: Parameters<typeof setProfile>[2]["settings"]) =>
    harness.store.write((db) => setProfile(db, harness.lead, { name: "test", settings, now: START, actor: "test" }));

  it("are renewed with a CSR: the next one counts at once, the one before for an hour more", async () => {
    const device = await enrolled("cert");
    const [first] = (await trusted()).keys();
    harness.now = START + HOUR_MS;
    const { status, body } = await renew(device);
    const { pem, notAfter } = body.certificate as { pem: string; notAfter: number };
    expect([status, body.device, notAfter]).to.deep.equal([201, device.id, START + HOUR_MS + DAY_MS]);
    const next = createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
    expect([...(await trusted()).keys()].sort()).to.deep.equal([first, next].sort());
    expect(await listed()).to.deep.equal([`live ${HOUR_MS + OVERLAP_MS}`, `live ${HOUR_MS + DAY_MS}`]);
    harness.now = START + HOUR_MS + OVERLAP_MS;
    await harness.until(async () => !(await trusted()).has(first ?? ""));
    expect(await listed()).to.deep.equal([`superseded ${HOUR_MS + OVERLAP_MS}`, `live ${HOUR_MS + DAY_MS}`]);
  });

  it("end at their own end, in the list and at the gates", async () => {
    await enrolled("cert");
    harness.now = START + DAY_MS;
    await harness.until(async () => (await trusted()).size === 0);
    expect(await listed()).to.deep.equal([`expired ${DAY_MS}`]);
  });

  it("are at most four that count: of more the oldest ends at once", async () => {
    const device = await enrolled("cert");
    for (let index = 1; index <= MAX_LIVE_CERTIFICATES; index++) {
      harness.now = START + index * 1_000;
      await renew(device);
    }
    expect((await trusted()).size).to.equal(4);
    expect((await listed()).map((line) => line.split(" ")[0])).to.deep.equal(["superseded", "live", "live", "live", "live"]);
  });

  it("stay as they are when addresses alone are renewed", async () => {
    const device = await enrolled("either");
    const before = await listed();
    const { status, body } = await harness.own(device, "renew", { addresses: ["9.9.9.9"] });
    expect([status, body.certificate, await listed()]).to.deep.equal([201, undefined, before]);
  });

  it("follow the profile's pattern from the next renewal on, bindings too", async () => {
    const device = await enrolled("either");
    await profile({ addresses: "any", pattern: "both", certificateLifetimeMs: DAY_MS });
    await harness.own(device, "renew", { addresses: ["8.8.8.8"] });
    expect([...(await trusted()).values()]).to.deep.equal(["both"]);
    const bindings = await harness.rows((db) => all(db.selectFrom("trust").select("id").where("target", "=", "binding")));
    expect(bindings).to.deep.equal([{ id: `${device.id} 8.8.8.8/32` }]);
    expect((await harness.rules()).map((rule) => rule.split(" ")[0])).to.deep.equal(["ipcert"]);
    await profile({ addresses: "any", pattern: "ip" });
    await harness.own(device, "renew", { addresses: ["8.8.8.8"] });
    expect(await listed()).to.deep.equal([`revoked privilegeWithdrawn ${DAY_MS}`]);
    expect(
      await harness.rows((db) => all(db.selectFrom("trust").select("id").where("target", "in", ["binding", "certificate"]))),
    ).to.deep.equal([]);
  });

  it("of a key that is called compromised end together, and none is made for it again", async () => {
    const code = await harness.code({ pattern: "cert", certificateLifetimeMs: DAY_MS });
    const same = await csr();
    const device = await harness.device(code, { addresses: [] }, { csr: same });
    const [first] = (await trusted()).keys();
    const renewed = async (request: typeof same) => harness.own(device, "renew", { addresses: [] }, { csr: request });
    harness.now = START + 1_000;
    expect((await renewed(same)).status).to.equal(201);
    expect((await renewed(await csr())).status).to.equal(201);
    const input = { fingerprint: first ?? "", reason: "keyCompromise", now: START + 2_000, actor: "operator:a" } as const;
    await harness.store.write((db) => revokeListed(db, harness.lead, input), ["head", "revocation"]);
    expect((await listed()).map((line) => line.split(" ").slice(0, -1).join(" ")).sort()).to.deep.equal([
      "live",
      "revoked keyCompromise",
      "revoked keyCompromise",
    ]);
    expect((await trusted()).size).to.equal(1);
    const audited = await harness.rows((db) => all(db.selectFrom("audit").select("action").where("action", "=", "certificate.revoked")));
    expect(audited).to.have.length(2);
    const { status, body } = await renewed(same);
    expect([status, body.code]).to.deep.equal([422, "key_compromised"]);
    expect((await renewed(await csr())).status).to.equal(201);
  });

  it("are made for no key that is called compromised, whoever asks, and the security code is not spent", async () => {
    const [compromised, other] = [await csr(), await csr()];
    const certificate = { pattern: "cert", certificateLifetimeMs: DAY_MS } as const;
    await harness.device(await harness.code(certificate), { addresses: [] }, { csr: compromised });
    const [first = ""] = (await trusted()).keys();
    const revoke = (reason: "superseded" | "keyCompromise") =>
      harness.store.write(
        (db) => revokeListed(db, harness.lead, { fingerprint: first, reason, now: START, actor: "operator:a" }),
        ["head", "revocation"],
      );
    await revoke("superseded");
    const code = await harness.code(certificate);
    const register = async (request: typeof other) => harness.register(code, { addresses: [] }, { csr: request });
    // Known too late, and told of a certificate that was revoked for another reason.
    await revoke("keyCompromise");
    expect((await listed()).map((line) => line.split(" ")[1])).to.deep.equal(["superseded"]);
    const refused = await register(compromised);
    expect([refused.status, refused.body.code]).to.deep.equal([422, "key_compromised"]);
    expect((await register(other)).status).to.equal(201);
    expect((await trusted()).size).to.equal(1);
  });

  it("are needed for a renewal where nothing else admits", async () => {
    const device = await enrolled("cert");
    expect((await harness.own(device, "renew", { addresses: [] })).body.code).to.equal("certificate_required");
    expect((await renew(device, ["8.8.8.8"])).body.code).to.equal("addresses_not_offered");
  });

  for (const [how, reason] of [
    ["revoked", "privilegeWithdrawn"],
    ["left", "cessationOfOperation"],
  ] as const) {
    it(`are revoked at once, with all that it holds, when the device is ${how}`, async () => {
      const device = await enrolled("both");
      await renew(device, ["8.8.8.8"]);
      const before = { device: device.id, now: START, actor: "test" };
      if (how === "left") await harness.own(device, "leave");
      else await harness.store.write((db) => revokeDevice(db, harness.lead, before), ["head"]);
      expect(await listed()).to.deep.equal([`revoked ${reason} ${OVERLAP_MS}`, `revoked ${reason} ${DAY_MS}`]);
      expect(
        await harness.rows((db) => all(db.selectFrom("trust").select("id").where("target", "in", ["certificate", "binding"]))),
      ).to.deep.equal([]);
      expect(await harness.rules()).to.deep.equal([]);
    });
  }
});
