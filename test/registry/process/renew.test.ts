import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { withdrawCode } from "../../../registry/process/codes.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { setProfile } from "../../../registry/process/profiles.ts";
import { verifyAudit } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness, HOUR_MS, nonce, type TestDevice } from "./harness.ts";

const START = 1_800_000_000_000;
const LATER = { expiresAt: 1_900_000_000_000, uses: 9 };

describe("a device's own submissions", () => {
  let harness: Harness;
  let process: AsyncDisposable;
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = START;
    process = await harness.process();
  });
  afterEach(async () => {
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  const grants = async (device: TestDevice) =>
    (await harness.rows((db) => all(db.selectFrom("grants").selectAll().where("device", "=", device.id).orderBy("id")))).map(
      (grant) => `${grant.lane} ${grant.prefix} ${grant.expires_at - START} ${grant.end_reason ?? "live"}`,
    );
  const summary = ({ status, body }: { status: number; body: Record<string, unknown> }) => `${status} ${String(body.code ?? body.device)}`;
  const revoke = ({ id }: TestDevice) =>
    harness.store.write((db) => revokeDevice(db, harness.lead, { device: id, now: harness.clock.now(), actor: "test" }), ["head"]);
  const profile = (settings: Parameters<typeof setProfile>[2]["settings"]) =>
    harness.store.write((db) => setProfile(db, harness.lead, { name: "test", settings, now: START, actor: "test" }));

  it("renew: what is listed lives anew, what is not listed any more ends at once, and no grant is written twice", async () => {
    const code = await harness.code({ addressLifetimeMs: HOUR_MS }, LATER);
    const device = await harness.device(code, { addresses: ["8.8.8.8", "9.9.9.9"] });
    harness.now = START + 60_000;
    const { status, body, revision } = await harness.own(device, "renew", { addresses: ["9.9.9.9", "2606:4700::/64"] });
    expect([status, body.device, body.pattern, revision]).to.deep.equal([201, device.id, "ip", 5]);
    expect(body.addresses).to.deep.equal([
      { prefix: "9.9.9.9/32", lane: "ip", expiresAt: START + 3_660_000 },
      { prefix: "2606:4700::/64", lane: "ip", expiresAt: START + 3_660_000 },
    ]);
    expect(await grants(device)).to.deep.equal([
      "ip 8.8.8.8/32 3600000 left",
      "ip 9.9.9.9/32 3660000 live",
      "ip 2606:4700::/64 3660000 live",
    ]);
    expect(await harness.rules()).to.deep.equal([`ip 2606:4700::/64 ${START + 3_660_000}`, `ip 9.9.9.9/32 ${START + 3_660_000}`]);
    expect(await verifyAudit(harness.store)).to.deep.include({ ok: true });
  });

  it("renew: a prefix that another device holds stays until that one's end", async () => {
    const code = await harness.code({ addressLifetimeMs: HOUR_MS }, LATER);
    const [one] = [await harness.device(code, { addresses: ["8.8.8.8"] }), await harness.device(code, { addresses: ["8.8.8.8"] })];
    await harness.own(one, "renew", { addresses: ["9.9.9.9"] });
    expect(await harness.rules()).to.deep.equal([`ip 8.8.8.8/32 ${START + HOUR_MS}`, `ip 9.9.9.9/32 ${START + HOUR_MS}`]);
  });

  it("renew: follows the profile as it is now, into another lane and to a shorter life", async () => {
    const device = await harness.device(await harness.code({ addressLifetimeMs: HOUR_MS }, LATER));
    await profile({ addresses: "any", pattern: "both", addressLifetimeMs: 60_000 });
    const { body } = await harness.own(device, "renew");
    expect(body).to.deep.include({ pattern: "both", addresses: [{ prefix: "8.8.4.4/32", lane: "ipcert", expiresAt: START + 60_000 }] });
    expect(await harness.rules()).to.deep.equal([`ipcert 8.8.4.4/32 ${START + 60_000}`]);
    await profile({ addresses: "any", pattern: "cert" });
    expect(summary(await harness.own(device, "renew"))).to.equal("422 addresses_not_offered");
    expect(await harness.rules()).to.have.length(1);
  });

  it("renew: goes on when the code that enrolled the device is spent, expired and withdrawn", async () => {
    const code = await harness.code({}, { uses: 1, expiresAt: START + 1_000 });
    const device = await harness.device(code);
    harness.now = START + 2_000;
    await harness.store.write((db) => withdrawCode(db, harness.lead, { selector: code.selector, now: START, actor: "test" }));
    expect(summary(await harness.own(device, "renew"))).to.equal(`201 ${device.id}`);
  });

  it("renew: comes back in after everything it held ran out", async () => {
    const device = await harness.device(await harness.code({ addressLifetimeMs: 1_000 }, LATER));
    harness.now = START + 1_000;
    expect(summary(await harness.own(device, "renew"))).to.equal(`201 ${device.id}`);
    expect(await harness.rules()).to.deep.equal([`ip 8.8.4.4/32 ${START + 2_000}`]);
  });

  it("leave: all that it holds ends, the others behind its address stay, and a second time is told the same", async () => {
    const code = await harness.code({ addressLifetimeMs: HOUR_MS }, LATER);
    const [one, two] = [
      await harness.device(code, { addresses: ["8.8.8.8", "9.9.9.9"] }),
      await harness.device(code, { addresses: ["8.8.8.8"] }),
    ];
    const { status, body, revision } = await harness.own(one, "leave");
    expect([status, body.device, body.addresses, revision]).to.deep.equal([200, one.id, [], 3]);
    expect(await harness.rules()).to.deep.equal([`ip 8.8.8.8/32 ${START + HOUR_MS}`]);
    expect(await grants(one)).to.deep.equal(["ip 8.8.8.8/32 3600000 left", "ip 9.9.9.9/32 3600000 left"]);
    expect(summary(await harness.own(one, "leave"))).to.equal(`200 ${one.id}`);
    expect(summary(await harness.own(one, "renew"))).to.equal("403 device_left");
    await revoke(two);
    expect(summary(await harness.own(two, "renew"))).to.equal("403 device_revoked");
    expect(summary(await harness.own(two, "leave"))).to.equal("403 device_revoked");
    expect(await harness.rules()).to.deep.equal([]);
  });

  it("count each nonce once with its time", async () => {
    const device = await harness.device(await harness.code({}, LATER));
    const same = { nonce: nonce(), time: harness.clock.now() };
    expect(summary(await harness.own(device, "renew", same))).to.equal(`201 ${device.id}`);
    expect(summary(await harness.own(device, "renew", same))).to.equal("409 proof_replayed");
    expect(summary(await harness.own(device, "leave", same))).to.equal("409 proof_replayed");
    expect(summary(await harness.own(device, "renew", { ...same, time: same.time + 1 }))).to.equal(`201 ${device.id}`);
  });

  const wrong: readonly [
    what: string,
    problem: string,
    run: (device: TestDevice) => Promise<{ status: number; body: Record<string, unknown> }>,
  ][] = [
    ["another device's key", "401 proof_refused", async (device) => harness.own({ ...device, privateKey: stranger() }, "renew")],
    [
      "an unknown device",
      "401 proof_refused",
      async (device) => harness.own({ ...device, signer: `device:${crypto.randomUUID()}` }, "renew"),
    ],
    ["a proof for another registry", "401 proof_refused", async (device) => harness.own(device, "renew", { registry: "other.example" })],
    ["a device that registers", "422 action_not_offered", async (device) => harness.register(device, { signer: device.signer })],
    ["another key for itself", "422 device_key_kept", async (device) => harness.own(device, "renew", { deviceKey: "A".repeat(43) })],
    ["no address", "422 nothing_requested", async (device) => harness.own(device, "renew", { addresses: [] })],
    [
      "too many addresses",
      "422 addresses_too_many",
      async (device) => harness.own(device, "renew", { addresses: Array(5).fill("8.8.8.8") }),
    ],
    ["a private address", "422 address_private", async (device) => harness.own(device, "renew", { addresses: ["8.8.8.8", "10.0.0.1"] })],
    ["a CSR", "422 certificate_not_offered", async (device) => harness.own(device, "renew", {}, { csr: Buffer.from("3000", "hex") })],
  ];
  const stranger = () => generateKeyPairSync("ed25519").privateKey;
  for (const [what, problem, run] of wrong) {
    it(`are refused for ${what} with ${problem}, whatever register stored, and change nothing`, async () => {
      const device = await harness.device(await harness.code({}, LATER));
      const before = [await grants(device), await harness.rules()];
      expect(summary(await run(device))).to.equal(problem);
      expect([await grants(device), await harness.rules()]).to.deep.equal(before);
    });
  }

  it("are refused for a device without a key", async () => {
    const { body } = await harness.register(await harness.code({}, LATER));
    const device = {
      id: String(body.device),
      registration: "",
      signer: `device:${String(body.device)}`,
      selector: "",
      privateKey: stranger(),
    };
    expect(summary(await harness.own(device, "renew"))).to.equal("401 proof_refused");
    expect(summary(await harness.own(device, "leave"))).to.equal("401 proof_refused");
  });
});
