import { expect } from "chai";
import { createMetrics } from "../../../lib/metrics.ts";
import { generateCode } from "../../../lib/registration/code.ts";
import { revokeCertificate } from "../../../registry/ca/ledger.ts";
import { countConclusions, countRefusals, measuredStore } from "../../../registry/measure.ts";
import { createCode } from "../../../registry/process/codes.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";
import { TestControl } from "./control.ts";

const DAY_MS = 86_400_000;

describe("GET /metrics on control", () => {
  let control: TestControl;
  before(async () => {
    control = await TestControl.start();
  });
  after(() => control[Symbol.asyncDispose]());

  const lines = async (): Promise<string[]> =>
    (await control.text("/metrics")).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

  it("tells how the registry stands, over the local socket, and names nobody", async () => {
    for (const name of ["host-1", "host-2", "host-3"]) {
      const row = {
        name,
        zone: "restricted" as const,
        fingerprint: name,
        enrolled_at: 1,
        revoked_at: null,
        acked_revision: 0,
        seen_at: null,
      };
      await control.store.write((db) => all(db.insertInto("agents").values(row)));
    }
    const zeroes = "0".repeat(32);
    const fact = { revision: 0, connectedAt: 1, seenAt: 1, lastApplyMs: 1, epoch: "e", unknownMessages: 0 };
    control.feeds.push(
      { ...fact, name: "host-1", digest: zeroes, phase: "live", duplicates: 0 },
      { ...fact, name: "host-2", digest: "f".repeat(32), phase: "live", duplicates: 2 },
    );
    const told = await lines();
    expect(told).to.include.members([
      "entityos_revision 0",
      "entityos_rules 0",
      "entityos_inbox 0",
      "entityos_agents_enrolled 3",
      "entityos_agents_in_sync 1",
      'entityos_alarms{alarm="duplicate_agent"} 1',
      'entityos_alarms{alarm="digest_differs"} 1',
      'entityos_alarms{alarm="agent_ahead"} 0',
    ]);
    expect(told.filter((line) => line.includes("host-"))).to.deep.equal([]);
  });

  it("counts listeners whose certificates end soon, and the status says which and when", async () => {
    const notAfter = Date.UTC(2031, 0, 31);
    control.now = notAfter - 6 * DAY_MS;
    const life = { notBefore: notAfter - 90 * DAY_MS, notAfter };
    control.listeners.push({ role: "register", ...life }, { role: "control", ...life, notAfter: notAfter + 2 * DAY_MS });
    expect(await lines()).to.include('entityos_alarms{alarm="server_certificate_ends"} 1');
    const { body } = await control.local("/v1/admin/status");
    const told = (body.alarms as { code: string; text: string }[]).filter(({ code }) => code === "server_certificate_ends");
    expect(told).to.deep.equal([
      { code: "server_certificate_ends", text: "register: the listener's certificate ends 2031-01-31T00:00:00.000Z" },
    ]);
    control.now = Date.now();
  });

  it("answers operators and certificates made for metrics, which may do nothing else", async () => {
    const [operator, metrics] = [await control.identity("operator", "alice"), await control.identity("metrics", "prometheus")];
    expect(await control.text("/metrics", operator)).to.include("entityos_revision 0\n");
    expect(await control.text("/metrics", metrics)).to.include("entityos_revision 0\n");
    for (const path of ["/v1/admin/status", "/v1/admin/codes", "/v1/crl/device-00000000.der"]) {
      const reply = await control.remote(path, metrics);
      expect([reply.status, reply.body.code]).to.deep.equal([403, "request_role"]);
    }
    await control.store.write((db) => revokeCertificate(db, metrics.issued.fingerprint, control.now, "unspecified"));
    expect((await control.remote("/metrics", metrics)).body.code).to.equal("request_role");
  });

  it("answers no agent", async () => {
    const reply = await control.remote("/metrics", await control.identity("agent", "host-1"));
    expect([reply.status, reply.body.code]).to.deep.equal([403, "request_role"]);
  });
});

describe("what the registry counts", () => {
  it("is the outcome and the time of submissions, and what register refuses, by code", async () => {
    const metrics = createMetrics({ process: false });
    const [concluded, refused] = [countConclusions(metrics), countRefusals(metrics)];
    concluded("registered", 3);
    concluded("code_spent", -5);
    refused("proof_refused");
    const told = (await metrics.text()).split("\n");
    expect(told).to.include.members([
      'entityos_submissions_total{outcome="registered"} 1',
      'entityos_submissions_total{outcome="code_spent"} 1',
      'entityos_process_seconds_bucket{le="0.001"} 1',
      'entityos_process_seconds_bucket{le="0.005"} 2',
      'entityos_register_refusals_total{code="proof_refused"} 1',
    ]);
  });

  it("is the time and the failures of writes, which stay what they are", async () => {
    const metrics = createMetrics({ process: false });
    await using harness = await Harness.open();
    const store = measuredStore(harness.store, metrics, harness.clock);
    const { selector, publicKey } = generateCode();
    const code = {
      selector,
      publicKey,
      subject: "s",
      profile: "desktop",
      uses: 1,
      expiresAt: harness.clock.now() + 5_000,
      now: harness.clock.now(),
      actor: "t",
    };
    expect((await store.write((db) => createCode(db, harness.lead, code))).selector).to.equal(selector);
    const again = await store.write((db) => createCode(db, harness.lead, code)).catch((error: { code: string }) => error.code);
    expect(again).to.equal("code_exists");
    const told = (await metrics.text()).split("\n");
    expect(told).to.include.members(["entityos_storage_commit_seconds_count 2", "entityos_storage_failures_total 1"]);
  });
});
