import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { fingerprintOf, removeHost } from "../../../infra/metal/remove.ts";

/** A certificate with one name, of nobody's CA. */
function certificate(san: string): string {
  const folder = mkdtempSync(join(tmpdir(), "eos-remove-"));
  try {
    const made = spawnSync(
      "openssl",
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-addext"].concat(
        ...[`subjectAltName=${san}`, "-keyout", join(folder, "key"), "-out", join(folder, "crt")],
      ),
      { encoding: "utf8" },
    );
    expect(made.status, made.stderr).to.equal(0);
    return readFileSync(join(folder, "crt"), "utf8");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("a host that is removed", () => {
  const own = certificate("URI:urn:entityos:agent:web-1");
  const shows = (pem: string) => ({ sh: async () => pem });

  it("has its own certificate revoked, and none that it shows of somebody else", async () => {
    expect(await fingerprintOf("web-1", shows(own))).to.match(/^[0-9a-f]{64}$/);
    for (const other of [
      certificate("URI:urn:entityos:agent:web-2"),
      certificate("URI:urn:entityos:operator:web-1"),
      certificate("URI:urn:entityos:agent:web-1,DNS:control.example"),
      "",
      "nonsense",
    ])
      expect(await fingerprintOf("web-1", shows(other))).to.equal(null);
  });

  it("says that nothing is revoked where it shows nothing, and is cleaned all the same", async () => {
    const said: string[] = [];
    const asked: string[] = [];
    const registry = { sh: async () => Promise.reject(new Error("asked")), [Symbol.dispose]: () => undefined };
    const remote = { sh: async (_step: string, script: string) => String(asked.push(script) && ""), [Symbol.dispose]: () => undefined };
    await removeHost({ name: "web-1", remote, registry, who: "ada", purge: [], say: (words) => said.push(words) });
    expect(said).to.deep.equal([
      "no certificate of it is revoked, for it shows none of its own: see 'entityos cert list', and whether web-1 has one there",
    ]);
    expect(asked.at(-1)).to.include("purge");
  });

  it("is a registry only where the settings name it as one that may be purged, and else nothing is changed", async () => {
    const asked: string[] = [];
    const remote = { sh: async (_step: string, script: string) => String(asked.push(script) && "") };
    const remove = (purge: readonly string[]) =>
      removeHost({ name: "reg", remote, registry: null, who: "ada", purge, say: () => {} }).catch(String);
    expect(await remove(["reg-2"])).to.equal(
      "HostError: reg: removal: would_purge_registry: with it go Storage and the CAs' keys. To keep them, name the host reg and its role registry; to purge them, say purge: [reg] in the settings",
    );
    expect(asked).to.deep.equal([]);
    await remove(["reg"]);
    expect(asked.join()).to.include("purge");
  });
});
