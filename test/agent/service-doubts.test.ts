import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { agentConfigSchema } from "../../agent/config.ts";
import { doubts, serviceProblems } from "../../agent/service-doubts.ts";
import { type Control, startControl } from "../registry/feed/setup.ts";

describe("the service's files, before the agent runs", () => {
  let folder: string;
  let control: Control;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-service-"));
    control = await startControl();
    const [own, other] = [await control.enroll("own"), await control.enroll("other")];
    copyFileSync(own.certificate, join(folder, "own.crt"));
    copyFileSync(own.key, join(folder, "own.key"));
    copyFileSync(own.certificate, join(folder, "crossed.crt"));
    copyFileSync(other.key, join(folder, "crossed.key"));
    for (const name of ["empty.crt", "empty.key"]) writeFileSync(join(folder, name), "");
  });
  after(async () => {
    await control[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const config = (terminator: object, gate: object = {}) =>
    agentConfigSchema.parse({
      name: "host",
      registry: { addresses: ["https://c.test"], ca: "a", certificate: "a", key: "a" },
      stateDir: folder,
      terminator,
      gate,
    });
  const of = (name: string) => config({ kind: "haproxy", certificate: join(folder, `${name}.crt`) });

  it("are needed where something of the agent's ends TLS, and nowhere else", () => {
    expect(serviceProblems(of("absent"))).to.deep.equal([
      `terminator.certificate: ${folder}/absent.crt cannot be read (ENOENT)`,
      `terminator.certificate: ${folder}/absent.key cannot be read (ENOENT)`,
    ]);
    expect(serviceProblems(config({ kind: "none" }))).to.deep.equal([]);
    expect(serviceProblems(of("own"))).to.deep.equal([]);
  });

  it("are doubted when they do not fit, or ran out", () => {
    const now = Date.now();
    expect(doubts(of("own"), now)).to.deep.equal([]);
    expect(doubts(of("crossed"), now)).to.deep.equal([
      `terminator.certificate: ${folder}/crossed.key is not the key of ${folder}/crossed.crt: haproxy refuses them`,
    ]);
    expect(doubts(of("empty"), now)).to.deep.equal([
      `terminator.certificate: ${folder}/empty.crt holds no certificate in PEM form, or ${folder}/empty.key no private key`,
    ]);
    const [ended = ""] = doubts(of("own"), now + 400 * 86_400_000);
    expect(ended.slice(0, ended.indexOf(" at "))).to.equal(`terminator.certificate: ${folder}/own.crt ran out`);
  });

  it("are what lanes for certificates rest on", () => {
    const lanes = { lanes: { ip: true, ipcert: true, roaming: true } };
    expect(doubts(config({ kind: "none" }, lanes), Date.now())).to.deep.equal([
      "gate.lanes.ipcert: terminator.kind is none, so nothing of the agent's asks for a certificate: a registered address reaches port 8442",
      "gate.lanes.roaming: terminator.kind is none, so nothing of the agent's asks for a certificate: anybody reaches port 8443",
    ]);
    expect(doubts(config({ kind: "haproxy", certificate: join(folder, "own.crt") }, lanes), Date.now())).to.deep.equal([]);
  });
});
