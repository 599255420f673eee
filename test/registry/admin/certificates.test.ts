import { expect } from "chai";
import { enrollAgent, renewAgent } from "../../../registry/process/agents.ts";
import { CrlMaker } from "../../../registry/process/crl-maker.ts";
import { all } from "../../../registry/store/store.ts";
import { testAuthorities } from "../process/authorities.ts";
import { type Identity, TestControl } from "./control.ts";

describe("certificates, for operators and agents", () => {
  let control: TestControl;
  beforeEach(async () => {
    control = await TestControl.start();
  });
  afterEach(() => control[Symbol.asyncDispose]());

  async function enrolled(name: string): Promise<Identity & { readonly fingerprint: string }> {
    const agent = await control.identity("agent", name);
    const { fingerprint } = agent.issued;
    const input = { name, zone: "restricted", fingerprint, replace: false, now: control.now, actor: "test" } as const;
    await control.store.write((db) => enrollAgent(db, control.lead, input));
    return { ...agent, fingerprint };
  }

  it("are listed with their state, a page at a time", async () => {
    const made = [await control.identity("operator", "alice"), await control.identity("server", "a.example")];
    const fingerprints = made.map(({ issued }) => issued.fingerprint).sort();
    const first = await control.local("/v1/admin/certificates?limit=1");
    expect(first.body.items).to.have.nested.property("[0].fingerprint", fingerprints[0]);
    const rest = await control.local(`/v1/admin/certificates?limit=5&after=${fingerprints[0]}`);
    expect(rest.body).to.have.nested.property("items[0].state", "live");
    expect(rest.body).to.have.nested.property("items[0].fingerprint", fingerprints[1]);
    expect(JSON.stringify(rest.body)).not.to.include("BEGIN CERTIFICATE");
  });

  it("of an agent is revoked with the agent: its feed ends, and it may fetch nothing more", async () => {
    const agent = await enrolled("host-1");
    const path = `/v1/admin/certificates/${agent.fingerprint}/revoke`;
    const { status, body } = await control.local(path, { method: "POST", body: { reason: "keyCompromise" } });
    expect([status, (body.certificate as { state: string }).state]).to.deep.equal([200, "revoked"]);
    expect(control.disconnected).to.deep.equal(["host-1"]);
    const rows = await control.store.read((db) => all(db.selectFrom("agents").select(["name", "revoked_at"])));
    expect(rows).to.deep.equal([{ name: "host-1", revoked_at: control.now }]);
    expect((await control.remote("/v1/crl/device-00000000.der", agent)).status).to.equal(403);
  });

  it("of an agent, one before its newest, ends the feed that may have come with it, and not the agent", async () => {
    const old = await enrolled("host-1");
    const next = await control.identity("agent", "host-1");
    const input = { name: "host-1", presented: old.fingerprint, next: next.issued.fingerprint, now: control.now };
    await control.store.write((db) => renewAgent(db, control.lead, input));
    const path = `/v1/admin/certificates/${old.fingerprint}/revoke`;
    expect((await control.local(path, { method: "POST", body: {} })).status).to.equal(200);
    expect(control.disconnected).to.deep.equal(["host-1"]);
    expect((await control.store.read((db) => all(db.selectFrom("agents").select("revoked_at"))))[0]?.revoked_at).to.equal(null);
    const crl = "/v1/crl/device-00000000.der";
    expect([(await control.remote(crl, old)).status, (await control.remote(crl, next)).status]).to.deep.equal([403, 404]);
    // A second time ends nothing more.
    await control.local(path, { method: "POST", body: {} });
    expect(control.disconnected).to.deep.equal(["host-1"]);
  });

  for (const [what, fingerprint, reason, problem] of [
    ["an unknown one", "0".repeat(64), "unspecified", "404 certificate_unknown"],
    ["a name of another form", "0", "unspecified", "422 request_invalid"],
    ["a reason that is none", "0".repeat(64), "whim", "422 request_invalid"],
  ] as const) {
    it(`refuses ${what}: ${problem}`, async () => {
      const { status, body } = await control.local(`/v1/admin/certificates/${fingerprint}/revoke`, { method: "POST", body: { reason } });
      expect(`${status} ${String(body.code)}`).to.equal(problem);
    });
  }

  it("have their CA's list for enrolled agents and operators, and for nobody else", async () => {
    const { all: authorities, device } = await testAuthorities();
    const { store, lead, log } = control;
    const clock = { now: () => control.now, monotonic: () => 0 };
    await new CrlMaker({ store, lead, authorities: () => authorities, clock, log }).turn(1_000);
    const path = `/v1/crl/${device.id}.der`;
    const [agent, stranger] = [await enrolled("host-1"), await control.identity("agent", "host-2")];
    const asked = [agent, await control.identity("operator", "alice"), stranger];
    const answers = await Promise.all(asked.map((identity) => control.remote(path, identity)));
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 403]);
    expect(answers[0]?.type).to.equal("application/pkix-crl");
    expect((await control.remote("/v1/crl/device-00000000.der", agent)).status).to.equal(404);
  });
});
