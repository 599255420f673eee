import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makePki } from "../../registry/ca/files.ts";
import { KeyError } from "../../registry/ca/key-error.ts";
import { generateKey, loadSigner } from "../../registry/ca/signer.ts";
import { openPki } from "../registry/ca/open.ts";
import { signerContract } from "./signer.contract.ts";

const folder = mkdtempSync(join(tmpdir(), "entityos-signer-"));
after(() => rmSync(folder, { recursive: true }));

for (const kind of ["P-256", "P-384", "Ed25519"] as const) {
  const file = join(folder, `${kind}.key`);
  writeFileSync(file, generateKey(kind).pem);
  signerContract(`a plain ${kind} key file`, async () => loadSigner(file));
}
{
  const locked = mkdtempSync(join(folder, "locked-"));
  writeFileSync(join(locked, "passphrase"), "correct horse\n");
  writeFileSync(join(locked, "ca.key"), generateKey("P-256", "correct horse").pem);
  signerContract("an encrypted key file", async () => loadSigner(join(locked, "ca.key")));
}

describe("the keys of a folder with a passphrase", () => {
  let pki: string;
  beforeEach(async () => {
    pki = mkdtempSync(join(folder, "pki-"));
    await makePki(pki, Date.now());
  });
  const text = (name: string) => readFileSync(join(pki, `${name}.key`), "utf8");
  const isEncrypted = (name: string) => text(name).startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----");

  it("are encrypted when init runs once more, each the same key as before, and opened by the passphrase alone", async () => {
    const before = loadSigner(join(pki, "device.key")).spki;
    writeFileSync(join(pki, "passphrase"), "correct horse");
    const made = await makePki(pki, Date.now());
    expect(made.map((file) => file.slice(pki.length + 1)).sort()).to.deep.equal(["device.key", "infrastructure.key", "root.key"]);
    expect(["root", "infrastructure", "device"].map(isEncrypted)).to.deep.equal([true, true, true]);
    expect(statSync(join(pki, "device.key")).mode & 0o777).to.equal(0o600);
    expect(loadSigner(join(pki, "device.key")).spki.equals(before)).to.equal(true);
    expect(await makePki(pki, Date.now())).to.deep.equal([]);
    writeFileSync(join(pki, "passphrase"), "wrong");
    expect(() => openPki(pki)).to.throw(KeyError);
    rmSync(join(pki, "passphrase"));
    expect(() => openPki(pki)).to.throw(KeyError);
  });

  it("may have it from the service manager", async () => {
    const credentials = mkdtempSync(join(folder, "credentials-"));
    writeFileSync(join(credentials, "passphrase"), "correct horse\n");
    process.env.CREDENTIALS_DIRECTORY = credentials;
    try {
      await makePki(pki, Date.now());
      expect([isEncrypted("root"), loadSigner(join(pki, "root.key")).spki.length > 0]).to.deep.equal([true, true]);
    } finally {
      delete process.env.CREDENTIALS_DIRECTORY;
    }
  });
});
