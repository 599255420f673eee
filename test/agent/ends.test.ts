import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Alarms } from "../../agent/alarms.ts";
import { parseAgentConfig } from "../../agent/config.ts";
import { loaded } from "../../agent/reload.ts";
import { lookForEnds } from "../../agent/view.ts";
import { PATH } from "../../lib/service.ts";
import { makeKeyAndCsr, parseCsrPem } from "../../registry/ca/csr.ts";
import { makePki } from "../../registry/ca/files.ts";
import { MemoryLog } from "../registry/admin/control.ts";
import { openPki } from "../registry/ca/open.ts";

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;
/** Certificates keep whole seconds. */
const NOW = Math.floor(Date.now() / 1_000) * 1_000;

describe("certificates that nobody renews", () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-ends-"));
    mkdirSync(join(folder, "state"));
    await makePki(folder, NOW);
    const { key, csr } = await makeKeyAndCsr(null);
    const agent = await openPki(folder).issueAgent(parseCsrPem(csr), "host1", NOW);
    writeFileSync(join(folder, "agent.key"), key);
    writeFileSync(join(folder, "agent.crt"), agent.pem);
  });
  after(() => rmSync(folder, { recursive: true }));

  const at = (name: string) => join(folder, name);
  /** The service's certificate as an operator or an ACME client puts it there. @returns the request that it was made for */
  async function service(from: number): Promise<string> {
    const { key, csr } = await makeKeyAndCsr(null);
    writeFileSync(at("service.key"), key);
    await certify("service.crt", csr, from);
    return csr;
  }
  async function certify(file: string, csr: string, from: number): Promise<void> {
    writeFileSync(at(file), (await openPki(folder).issueServer(parseCsrPem(csr), ["app.example"], from)).pem);
  }
  const load = (kind: "haproxy" | "none" = "haproxy", zone = "restricted") => {
    const registry = { addresses: ["https://c.test"], ca: at("root.crt"), certificate: at("agent.crt"), key: at("agent.key") };
    const shown = { certificate: at("service.crt"), application: at("app.sock"), masterSocket: at("master.sock") };
    const terminator = { kind, ...(kind === "none" ? {} : shown) };
    return loaded(parseAgentConfig("test", JSON.stringify({ name: "host1", zone, registry, stateDir: at("state"), terminator })));
  };
  /** The names of alarms that are on at that time, and what the log says of them. */
  function told({ config, notAfter, serviceLife }: ReturnType<typeof load>, now: number) {
    const log = new MemoryLog();
    const alarms = new Alarms(log);
    lookForEnds({ alarms, config, notAfter, serviceLife }, now);
    return { raised: alarms.raised, log: log.lines };
  }

  it("are an alarm: the service's within a week of its end, and after it, in status and log", async () => {
    await service(NOW - 100 * DAY_MS);
    const state = load();
    const end = NOW - 100 * DAY_MS + YEAR_MS;
    expect(state.serviceLife).to.deep.equal({ notBefore: NOW - 100 * DAY_MS - 60_000, notAfter: end });
    const own = { ...state, notAfter: end + YEAR_MS };
    expect(told(own, end - 7 * DAY_MS).raised).to.deep.equal([]);
    const { raised, log } = told(own, end - 7 * DAY_MS + 1);
    expect(raised).to.deep.equal([
      {
        name: "service_certificate_expiring",
        message: "The certificate that the service shows was not renewed: it ends soon, or has ended",
      },
    ]);
    expect(log.join())
      .to.include("service_certificate_expiring")
      .and.include(String(7 * DAY_MS - 1));
    expect(told(own, end + DAY_MS).raised).to.have.length(1);
  });

  it("are an alarm: the agent's own within a day of its end", async () => {
    await service(NOW);
    const state = load();
    expect(told(state, state.notAfter - DAY_MS).raised).to.deep.equal([]);
    expect(told(state, state.notAfter - DAY_MS + 1).raised).to.deep.equal([
      { name: "certificate_expiring", message: "The agent's own certificate runs out within a day" },
    ]);
  });

  it("are none where the agent renewed the service's, or ends no TLS", async () => {
    const csr = await service(NOW - 360 * DAY_MS);
    expect(told(load(), NOW).raised.map(({ name }) => name)).to.deep.equal(["service_certificate_expiring"]);
    const renewed = join("state", PATH.serviceRenewedName);
    await certify(renewed, csr, NOW);
    expect(told(load(), NOW).raised).to.deep.equal([]);
    expect(load("none").serviceLife).to.equal(null);
    rmSync(at(renewed));
    expect(told(load("none"), NOW).raised).to.deep.equal([]);
  });

  it("keep no agent from starting where the file holds none: the terminator says so", async () => {
    writeFileSync(at("service.crt"), "no certificate");
    expect(load().serviceLife).to.equal(null);
  });
});
