import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Identity } from "../../../agent/feed/identity.ts";
import type { ServiceFiles } from "../../../agent/service-certificate.ts";
import { makeKeyAndCsr } from "../../../registry/ca/csr.ts";
import { enrollAgent } from "../../../registry/process/agents.ts";
import { TestControl } from "../../registry/admin/control.ts";

/** Control, and the files of an agent that is enrolled there, anew for each test of one `describe`. */
export function agentScene() {
  let control: TestControl;
  let folder: string;
  let fingerprint: string;
  beforeEach(async () => {
    control = await TestControl.start();
    control.now = Date.now() + 1_000;
    folder = mkdtempSync(join(tmpdir(), "entityos-agent-"));
    const { issued, key, certificate } = await control.identity("agent", "host-1");
    fingerprint = issued.fingerprint;
    const input = { name: "host-1", zone: "restricted", fingerprint, replace: false, now: control.now, actor: "test" } as const;
    await control.store.write((db) => enrollAgent(db, control.lead, input));
    write("ca.pem", control.ca.root);
    write("agent.crt", certificate);
    write("agent.key", key);
  });
  afterEach(async () => {
    await control[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const path = (name: string) => join(folder, name);
  const write = (name: string, text: string) => writeFileSync(path(name), text);
  const serviceFiles = { configured: "service.crt", key: "service.key", renewed: "renewed.crt" };
  return {
    path,
    /** A service's key and certificate, as an operator has it made. */
    async makeService(names: readonly string[]): Promise<ServiceFiles> {
      const { key, csr } = await makeKeyAndCsr(null);
      const made = await control.local("/v1/admin/certificates/server", { method: "POST", body: { names, csr } });
      if (made.status !== 201) throw new Error(`control answers ${made.status}`);
      write(serviceFiles.configured, `${String(made.body.certificate)}${String(made.body.chain)}`);
      write(serviceFiles.key, key);
      return { configured: path(serviceFiles.configured), key: path(serviceFiles.key), renewed: path(serviceFiles.renewed) };
    },
    write,
    read: (name: string) => readFileSync(path(name), "utf8"),
    identity: (): Identity & { readonly renewed: string } => ({
      addresses: [`https://localhost:${control.port}`],
      ca: path("ca.pem"),
      certificate: path("agent.crt"),
      key: path("agent.key"),
      renewed: path("renewed-agent.crt"),
    }),
    get control() {
      return control;
    },
    /** Of the certificate that it was enrolled with. */
    get fingerprint() {
      return fingerprint;
    },
  };
}
