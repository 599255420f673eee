import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { credentialProblems } from "../../agent/credentials.ts";
import { type Control, startControl } from "../registry/feed/setup.ts";

describe("the agent's own files", () => {
  let folder: string;
  let control: Control;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-own-"));
    control = await startControl();
  });
  after(async () => {
    await control[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const problems = (registry: object, name = "host", nowMs: number | null = Date.now()) =>
    credentialProblems({ name, registry: { addresses: ["https://c.test"], ca: "", certificate: "", key: "", ...registry } }, nowMs);

  it("are right as they are enrolled", async () => {
    expect(problems(await control.enroll("host"))).to.deep.equal([]);
  });

  it("are told all at once where they are wrong", async () => {
    const [own, other] = [await control.enroll("host"), await control.enroll("other")];
    const empty = join(folder, "empty");
    writeFileSync(empty, "");
    expect(problems({ ca: empty, certificate: "/nowhere", key: empty })).to.deep.equal([
      `registry.ca: ${empty} holds no certificate in PEM form`,
      "registry.certificate: /nowhere cannot be read (ENOENT)",
      `registry.key: ${empty} holds no private key in PEM form`,
    ]);
    expect(problems({ ca: own.certificate, certificate: other.certificate, key: own.key })).to.deep.equal([
      `registry.ca: ${own.certificate} is no CA's certificate`,
      `registry.key: ${own.key} is not the key of ${other.certificate}`,
      `registry.certificate: ${other.certificate} is not the certificate of agent 'host'`,
    ]);
  });

  it("may have run out for an agent that runs, and not for a check", async () => {
    const own = await control.enroll("host");
    const later = Date.now() + 400 * 86_400_000;
    expect(problems(own, "host", later)).to.have.length(1);
    expect(problems(own, "host", null)).to.deep.equal([]);
  });
});
