import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { generateCode } from "../../../lib/registration/code.ts";
import { enrollAgent, listAgents, showAgent } from "../../../registry/process/agents.ts";
import { createCode, listCodes, withdrawCode } from "../../../registry/process/codes.ts";
import { listDevices, revokeDevice, showDevice } from "../../../registry/process/devices.ts";
import { listGrants } from "../../../registry/process/grants.ts";
import { listProfiles, setProfile } from "../../../registry/process/profiles.ts";
import { takeLead } from "../../../registry/store/queries.ts";
import { all, type Builder, type Command, type Lead } from "../../../registry/store/store.ts";
import { Harness } from "./harness.ts";

const FINGERPRINT = "ab".repeat(32);
const by = { now: 1_000, actor: "operator:eve" };

describe("the operator's commands", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const write = <T>(command: (db: Builder, lead: Lead) => Command<T>): Promise<T> => harness.store.write((db) => command(db, harness.lead));
  const audited = async () =>
    (await harness.rows((db) => all(db.selectFrom("audit").select(["actor", "action"]).where("actor", "=", by.actor).orderBy("seq")))).map(
      ({ action }) => action,
    );
  /** Code and status of the problem that a write ends with. */
  async function refusal(attempt: Promise<unknown>): Promise<string> {
    const error = await attempt.catch((reason: unknown) => reason);
    return error instanceof Problem ? `${error.status} ${error.code}` : String(error);
  }
  const newCode = (change = {}) => {
    const { selector, publicKey } = generateCode();
    return { selector, publicKey, subject: "Ann", profile: "desktop", uses: 1, expiresAt: 2_000, ...by, ...change };
  };

  it("begin with a default profile for desktops", async () => {
    expect(await harness.rows((db) => listProfiles(db, { after: null, limit: 10 }))).to.deep.equal({
      items: [
        {
          name: "desktop",
          pattern: "ip",
          addresses: "observed",
          addressLifetimeMs: 604_800_000,
          certificateLifetimeMs: 604_800_000,
          maxAddresses: 4,
          widest4: 32,
          widest6: 64,
          observed6: 64,
          plainCode: false,
          reenroll: false,
        },
      ],
      next: null,
    });
  });

  it("set a profile, and set it again", async () => {
    await write((db, lead) => setProfile(db, lead, { name: "office", settings: { addresses: ["8.8.0.0/16"] }, ...by }));
    await write((db, lead) => setProfile(db, lead, { name: "office", settings: { addresses: ["9.9.0.0/16"], maxAddresses: 1 }, ...by }));
    const { items } = await harness.rows((db) => listProfiles(db, { after: "desktop", limit: 1 }));
    expect(items[0]).to.deep.include({ name: "office", addresses: ["9.9.0.0/16"], maxAddresses: 1 });
    expect(await audited()).to.deep.equal(["profile.set", "profile.set"]);
  });

  const badProfiles: readonly [name: string, settings: object][] = [
    ["Upper", {}],
    ["a", { pattern: "open" }],
    ["a", { addresses: ["8.8.8.8/16"] }],
    ["a", { addressLifetimeMs: 999 }],
    ["a", { certificateLifetimeMs: 91 * 86_400_000 }],
    ["a", { maxAddresses: 65 }],
    ["a", { widest4: 33 }],
    ["a", { widest6: 65 }],
    ["a", { observed6: 56 }],
    ["a", { colour: "red" }],
  ];
  for (const [name, settings] of badProfiles) {
    it(`refuse the profile ${name} with ${JSON.stringify(settings)}`, async () => {
      expect(await refusal(write((db, lead) => setProfile(db, lead, { name, settings, ...by })))).to.equal("422 profile_invalid");
      expect(await audited()).to.deep.equal([]);
    });
  }

  it("make, list and withdraw codes", async () => {
    const input = newCode();
    const code = await write((db, lead) => createCode(db, lead, input));
    const { selector } = input;
    expect(code).to.deep.equal({
      selector,
      subject: "Ann",
      profile: "desktop",
      uses: 1,
      used: 0,
      createdAt: 1_000,
      expiresAt: 2_000,
      withdrawnAt: null,
    });
    expect((await harness.rows((db) => listCodes(db, { after: null, limit: 10 }))).items).to.deep.equal([code]);
    const withdraw = (now: number) => write((db, lead) => withdrawCode(db, lead, { selector, now, actor: by.actor }));
    expect((await withdraw(1_500)).withdrawnAt).to.equal(1_500);
    expect((await withdraw(1_600)).withdrawnAt).to.equal(1_500);
    expect(await audited()).to.deep.equal(["code.created", "code.withdrawn"]);
  });

  const badCodes: readonly [problem: string, change: object][] = [
    ["404 profile_unknown", { profile: "none" }],
    ["422 code_invalid", { selector: "lower123" }],
    ["422 code_invalid", { subject: "" }],
    ["422 code_invalid", { subject: "a\u001b[31m" }],
    ["422 code_invalid", { uses: 0 }],
    ["422 code_invalid", { uses: 1.5 }],
    ["422 code_expiry", { expiresAt: 1_000 }],
    ["422 device_key", { publicKey: "short" }],
  ];
  for (const [problem, change] of badCodes) {
    it(`refuse a code with ${JSON.stringify(change)}: ${problem}`, async () => {
      expect(await refusal(write((db, lead) => createCode(db, lead, newCode(change))))).to.equal(problem);
      expect(await audited()).to.deep.equal([]);
    });
  }

  it("refuse what is there twice, and what is not there", async () => {
    const input = newCode();
    await write((db, lead) => createCode(db, lead, input));
    expect(await refusal(write((db, lead) => createCode(db, lead, input)))).to.equal("409 code_exists");
    expect(await refusal(write((db, lead) => withdrawCode(db, lead, { selector: "00000000", ...by })))).to.equal("404 code_unknown");
    expect(await refusal(write((db, lead) => revokeDevice(db, lead, { device: "x", ...by })))).to.equal("404 device_unknown");
    expect(await refusal(harness.rows((db) => showDevice(db, { device: "x" })))).to.equal("404 device_unknown");
    expect(await refusal(harness.rows((db) => showAgent(db, { name: "x" })))).to.equal("404 agent_unknown");
  });

  it("list, show and revoke devices with their grants", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { uses: 2 });
    const device = String((await harness.register(code, { addresses: ["8.8.8.8", "2606:4700::/64"] })).body.device);
    const other = String((await harness.register(code)).body.device);
    expect((await harness.rows((db) => listDevices(db, { after: null, limit: 10 }))).items.map(({ id }) => id)).to.deep.equal([
      device,
      other,
    ]);
    const shown = await harness.rows((db) => showDevice(db, { device }));
    expect(shown).to.deep.include({
      subject: "somebody",
      profile: "test",
      pattern: "ip",
      selector: code.selector,
      endedAt: null,
      endReason: null,
    });
    expect(shown.grants.map(({ lane, prefix, endReason }) => [lane, prefix, endReason])).to.deep.equal([
      ["ip", "8.8.8.8/32", null],
      ["ip", "2606:4700::/64", null],
    ]);
    const first = await harness.rows((db) => listGrants(db, { after: null, limit: 2 }));
    expect([first.items.length, first.next]).to.deep.equal([2, first.items[1]?.id]);
    expect((await harness.rows((db) => listGrants(db, { after: first.next, limit: 2 }))).items.map((grant) => grant.device)).to.deep.equal([
      other,
    ]);
    expect((await harness.rows((db) => listGrants(db, { after: null, limit: 9, device }))).items).to.deep.equal(shown.grants);

    const revoked = await write((db, lead) => revokeDevice(db, lead, { device, ...by }));
    expect(revoked).to.deep.equal({ device, revision: 5, ended: 2 });
    const after = await harness.rows((db) => showDevice(db, { device }));
    expect([after, ...after.grants].map(({ endedAt, endReason }) => [endedAt, endReason])).to.deep.equal([
      [1_000, "revoked"],
      [1_000, "revoked"],
      [1_000, "revoked"],
    ]);
    expect(await audited()).to.deep.equal(["device.revoked"]);
  });

  it("enrol agents by name, replace one only when told, and list them", async () => {
    const enroll = (name: string, replace = false, fingerprint = FINGERPRINT) =>
      write((db, lead) => enrollAgent(db, lead, { name, zone: "restricted", fingerprint, replace, ...by }));
    const { agent, replaced } = await enroll("host-1");
    expect([agent.ackedRevision, replaced]).to.deep.equal([0, null]);
    expect(await refusal(enroll("host-1"))).to.equal("409 agent_exists");
    expect((await enroll("host-1", true, "cd".repeat(32))).replaced).to.equal(FINGERPRINT);
    await enroll("host-2");
    expect(await refusal(enroll("Host"))).to.equal("422 agent_invalid");
    expect(await refusal(enroll("host-3", false, "AB"))).to.equal("422 agent_invalid");
    const page = await harness.rows((db) => listAgents(db, { after: null, limit: 1 }));
    expect([page.items.map(({ name }) => name), page.next]).to.deep.equal([["host-1"], "host-1"]);
    expect((await harness.rows((db) => listAgents(db, { after: "host-1", limit: 9 }))).items.map(({ name }) => name)).to.deep.equal([
      "host-2",
    ]);
    expect(await audited()).to.deep.equal(["agent.enrolled", "agent.enrolled", "agent.enrolled"]);
  });

  for (const limit of [0, 1_001, 1.5, Number.NaN]) {
    it(`refuse a page of ${limit}`, async () => {
      for (const list of [listAgents, listCodes, listDevices, listGrants, listProfiles])
        expect(await refusal(harness.rows<unknown>((db) => list(db, { after: null, limit })))).to.equal("422 limit");
    });
  }

  it("write nothing for a replica that does not lead any more", async () => {
    await takeLead(harness.store, 5);
    const attempts = [
      write((db, lead) => setProfile(db, lead, { name: "a", settings: {}, ...by })),
      write((db, lead) => createCode(db, lead, newCode())),
      write((db, lead) => withdrawCode(db, lead, { selector: "00000000", ...by })),
      write((db, lead) => revokeDevice(db, lead, { device: "x", ...by })),
      write((db, lead) => enrollAgent(db, lead, { name: "a", zone: "open", fingerprint: FINGERPRINT, replace: false, ...by })),
    ];
    expect(await Promise.all(attempts.map(refusal))).to.deep.equal(Array(5).fill("503 not_leading"));
    expect(await audited()).to.deep.equal([]);
  });
});
