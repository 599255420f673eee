import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import { generateCode } from "../../../lib/registration/code.ts";
import { makeKeyAndCsr } from "../../../registry/ca/csr.ts";
import { isLive } from "../../../registry/ca/ledger.ts";
import { NOW, TestControl } from "./control.ts";

describe("the operator API", () => {
  let control: TestControl;
  beforeEach(async () => {
    control = await TestControl.start();
  });
  afterEach(() => control[Symbol.asyncDispose]());

  const code = () => {
    const { selector, publicKey } = generateCode();
    return { selector, publicKey, subject: "alice", profile: "desktop", uses: 1, expiresAt: NOW + 3_600_000 };
  };
  const post = (path: string, body: unknown) => control.local(`/v1/admin${path}`, { method: "POST", body });
  const get = async (path: string) =>
    (await control.local(`/v1/admin${path}`)).body as { items: Record<string, unknown>[]; next: string | null };

  it("keeps a code's public half, lists it and withdraws it", async () => {
    const made = code();
    const created = await post("/codes", made);
    expect(created.status).to.equal(201);
    expect(created.body.register).to.deep.equal({ url: "https://register.example:9443", name: "register.example" });
    const { publicKey: _publicKey, ...kept } = made;
    const expected = { ...kept, used: 0, createdAt: NOW, withdrawnAt: null };
    expect(created.body.code).to.deep.equal(expected);
    expect(await get("/codes")).to.deep.equal({ items: [expected], next: null });
    control.now = NOW + 5;
    const withdrawn = await control.local(`/v1/admin/codes/${made.selector}`, { method: "DELETE" });
    expect(withdrawn.body).to.deep.equal({ ...expected, withdrawnAt: NOW + 5 });
    const unknown = await control.local("/v1/admin/codes/AAAAAAAA", { method: "DELETE" });
    expect([unknown.status, unknown.body.code]).to.deep.equal([404, "code_unknown"]);
  });

  it("pages", async () => {
    for (let n = 0; n < 3; n++) await post("/codes", code());
    const all = await get("/codes");
    const first = await get("/codes?limit=2");
    expect(first.items).to.deep.equal(all.items.slice(0, 2));
    expect(first.next).to.equal(all.items[1]?.selector);
    expect(await get(`/codes?limit=2&after=${first.next}`)).to.deep.equal({ items: all.items.slice(2), next: null });
  });

  for (const query of ["limit=0", "limit=1001", "limit=x", "limit=1.5", "nonsense=1", `after=${"x".repeat(200)}`]) {
    it(`refuses the query ${query.slice(0, 20)} as request_invalid`, async () => {
      const reply = await control.local(`/v1/admin/codes?${query}`);
      expect([reply.status, reply.body.code]).to.deep.equal([422, "request_invalid"]);
    });
  }

  it("enrols an agent: certificate for its name alone, noted, and told in the audit log by who did it", async () => {
    const { csr } = await makeKeyAndCsr("urn:entityos:operator:mallory");
    const reply = await control.remote("/v1/admin/agents", await control.identity("operator", "alice"), {
      method: "POST",
      body: { name: "host-1", zone: "restricted", csr },
    });
    expect(reply.status).to.equal(201);
    const certificate = new X509Certificate(String(reply.body.certificate));
    expect(certificate.subjectAltName).to.equal("URI:urn:entityos:agent:host-1");
    expect(reply.body.ca).to.equal(control.ca.root);
    expect(reply.body.chain).to.equal(control.ca.chain);
    const [agent] = (await get("/agents")).items;
    const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    const facts = { name: "host-1", zone: "restricted", fingerprint, enrolledAt: NOW, revokedAt: null, ackedRevision: 0, seenAt: null };
    expect(agent).to.deep.equal({ ...facts, feed: null });
    const audit = (await get("/audit")).items.map((entry) => `${entry.actor} ${entry.action}`);
    expect(audit).to.deep.equal(["registry profile.set", "operator:alice agent.enrolled"]);
  });

  it("refuses a second agent of a name unless it is to take its place; then the old certificate ends, and its feed", async () => {
    const enrol = async (more: object) => post("/agents", { name: "host-1", zone: "open", csr: (await makeKeyAndCsr(null)).csr, ...more });
    const first = await enrol({});
    expect([(await enrol({})).status, (await enrol({})).body.code]).to.deep.equal([409, "agent_exists"]);
    expect(control.disconnected).to.deep.equal([]);
    const second = await enrol({ replace: true });
    expect(second.status).to.equal(201);
    expect(control.disconnected).to.deep.equal(["host-1"]);
    const live = ({ body }: typeof first) => {
      const fingerprint = new X509Certificate(String(body.certificate)).fingerprint256.replaceAll(":", "").toLowerCase();
      return control.store.read((db) => isLive(db, fingerprint, "urn:entityos:agent:host-1", NOW));
    };
    expect([await live(first), await live(second)]).to.deep.equal([false, true]);
  });

  it("tells what the feed says of an agent", async () => {
    await post("/agents", { name: "host-1", zone: "restricted", csr: (await makeKeyAndCsr(null)).csr });
    const held = { epoch: "e1", revision: 0, digest: "0".repeat(32), lastApplyMs: 1.5, unknownMessages: 0 };
    const fact = { phase: "live" as const, ...held, connectedAt: NOW, seenAt: NOW, duplicates: 0 };
    control.feeds.push({ name: "host-1", ...fact });
    expect((await get("/agents")).items[0]?.feed).to.deep.equal(fact);
    expect((await control.local("/v1/admin/status")).body.agents).to.deep.equal({
      enrolled: 1,
      connected: 1,
      inSync: 1,
      ahead: 0,
      duplicates: 0,
    });
    control.feeds[0] = { name: "host-1", ...fact, digest: "1".repeat(32) };
    expect((await control.local("/v1/admin/status")).body.agents).to.deep.equal({
      enrolled: 1,
      connected: 1,
      inSync: 0,
      ahead: 0,
      duplicates: 0,
    });
  });

  const csrs: readonly [what: string, body: object, code: string][] = [
    ["no CSR", { csr: "hello" }, "422 csr_format"],
    ["a large CSR", { csr: "A".repeat(32_769) }, "422 request_invalid"],
    ["a name that is none", { name: "Host 1" }, "422 request_invalid"],
    ["a zone that is none", { zone: "closed" }, "422 request_invalid"],
    ["something more", { extra: 1 }, "422 request_invalid"],
  ];
  for (const [what, change, expected] of csrs) {
    it(`refuses an agent with ${what}: ${expected}`, async () => {
      const { csr } = await makeKeyAndCsr(null);
      const reply = await post("/agents", { name: "host-1", zone: "restricted", csr, ...change });
      expect(`${reply.status} ${reply.body.code}`).to.equal(expected);
      expect((await get("/agents")).items).to.deep.equal([]);
    });
  }

  it("certifies a service for the names it is told, and notes it", async () => {
    const { csr } = await makeKeyAndCsr(null);
    const reply = await post("/certificates/server", { names: ["app.example", "203.0.113.10"], csr });
    expect(reply.status).to.equal(201);
    expect(new X509Certificate(String(reply.body.certificate)).subjectAltName).to.equal("DNS:app.example, IP Address:203.0.113.10");
    const bad = await post("/certificates/server", { names: ["not a name"], csr });
    expect([bad.status, bad.body.code]).to.deep.equal([422, "server_name"]);
    const last = (await get("/audit")).items.at(-1);
    expect([last?.action, (last?.detail as { names: string[] }).names]).to.deep.equal([
      "certificate.issued",
      ["app.example", "203.0.113.10"],
    ]);
  });

  it("verifies the audit log, and says where it was changed", async () => {
    await post("/codes", code());
    expect((await post("/audit/verify", {})).body).to.deep.equal({ ok: true, entries: 2, brokenAt: null });
    await control.store.write(function* (db) {
      yield db.updateTable("audit").set({ actor: "nobody" }).where("seq", "=", 2).compile();
    });
    expect((await post("/audit/verify", {})).body).to.deep.equal({ ok: false, entries: 1, brokenAt: 2 });
  });

  it("tells how the registry stands", async () => {
    expect((await control.local("/v1/admin/status")).body).to.deep.include({
      name: "register.example",
      revision: 0,
      digest: "0".repeat(32),
      rules: 0,
      devices: 0,
      grants: 0,
      inbox: 0,
    });
  });

  it("knows no device that is not there", async () => {
    const shown = await control.local("/v1/admin/devices/x");
    expect([shown.status, shown.body.code]).to.deep.equal([404, "device_unknown"]);
    const revoked = await post("/devices/x/revoke", {});
    expect([revoked.status, revoked.body.code]).to.deep.equal([404, "device_unknown"]);
  });
});
