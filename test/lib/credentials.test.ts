import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { credentialPath } from "../../lib/credentials.ts";

describe("credentials", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-credentials-"));
    writeFileSync(join(folder, "agent.key"), "");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("are read where the service manager put them", () => {
    expect(credentialPath("/etc/entityos-agent/agent.key", { CREDENTIALS_DIRECTORY: folder })).to.equal(join(folder, "agent.key"));
  });

  it("are the files themselves without a service manager, or where it was not told of them", () => {
    expect(credentialPath("/etc/entityos-agent/agent.key", {})).to.equal("/etc/entityos-agent/agent.key");
    expect(credentialPath("/etc/other.key", { CREDENTIALS_DIRECTORY: folder })).to.equal("/etc/other.key");
  });
});
