import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect } from "chai";
import { makePki, serverCertificate } from "../../../registry/ca/files.ts";
import { PkiError } from "../../../registry/ca/folder.ts";
import { KeyError } from "../../../registry/ca/key-error.ts";
import { openPki } from "./open.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);

describe("the folder of PEM files", () => {
  let parent: string;
  let folder: string;
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), "eos-pki-"));
    folder = join(parent, "pki");
  });
  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  const contents = () => Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

  it("is made once; a second time changes nothing", async () => {
    const made = await makePki(folder, NOW);
    expect(made.map((file) => basename(file))).to.deep.equal([
      "root.key",
      "root.crt",
      "infrastructure.key",
      "infrastructure.crt",
      "device.key",
      "device.crt",
      "root.crl",
    ]);
    const before = contents();
    expect(await makePki(folder, NOW + 1)).to.deep.equal([]);
    expect(contents()).to.deep.equal(before);
  });

  it("keeps its keys to its owner", async () => {
    await makePki(folder, NOW);
    expect(mode(folder)).to.equal("700");
    expect(mode(join(folder, "root.key"))).to.equal("600");
    expect(mode(join(folder, "infrastructure.key"))).to.equal("600");
  });

  it("completes what a crash left half made, with the keys that are there", async () => {
    await makePki(folder, NOW);
    const before = contents();
    rmSync(join(folder, "infrastructure.crt"));
    expect((await makePki(folder, NOW)).map((file) => basename(file))).to.deep.equal(["infrastructure.crt"]);
    expect(contents()["infrastructure.key"]).to.equal(before["infrastructure.key"]);
    expect(openPki(folder).root).to.equal(before["root.crt"]);
  });

  it("opens without the root's key, and says what it needs it for", async () => {
    await makePki(folder, NOW);
    rmSync(join(folder, "root.key"));
    expect(openPki(folder).root).to.contain("BEGIN CERTIFICATE");
    rmSync(join(folder, "infrastructure.crt"));
    const error = await makePki(folder, NOW).catch((reason) => reason);
    expect(error).to.be.an.instanceOf(PkiError);
    expect(error.message).to.equal(`Cannot sign an infrastructure CA without ${join(folder, "root.key")}: put the root's key back for it.`);
  });

  it("never makes a new root under an infrastructure CA that is there", async () => {
    await makePki(folder, NOW);
    rmSync(join(folder, "root.crt"));
    const error = await makePki(folder, NOW).catch((reason) => reason);
    expect(error).to.be.an.instanceOf(PkiError);
    expect(existsSync(join(folder, "root.crt"))).to.equal(false);
  });

  it("does not open when its files do not fit together", async () => {
    await makePki(folder, NOW);
    const other = join(parent, "other");
    await makePki(other, NOW);
    writeFileSync(join(folder, "root.crt"), readFileSync(join(other, "root.crt")));
    expect(() => openPki(folder)).to.throw(PkiError, "root.key is not the key of root.crt");
    rmSync(join(folder, "root.key"));
    expect(() => openPki(folder)).to.throw(PkiError, "infrastructure.crt is not signed by root.crt");
    rmSync(join(folder, "root.crt"));
    expect(() => openPki(folder)).to.throw(PkiError, "root.crt as a certificate");
  });

  it("does not open with a key that is not the CA's, or is no key", async () => {
    await makePki(folder, NOW);
    writeFileSync(join(folder, "infrastructure.key"), readFileSync(join(folder, "root.key")));
    expect(() => openPki(folder)).to.throw(PkiError, "infrastructure.key is not the key of infrastructure.crt");
    writeFileSync(join(folder, "infrastructure.key"), "no key");
    expect(() => openPki(folder)).to.throw(KeyError, "Cannot use");
  });
});

describe("a listener's certificate", () => {
  let folder: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-pki-"));
    await makePki(folder, NOW);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const NAMES = ["register.example", "203.0.113.1", "2001:db8::1"];
  const made = async (names: readonly string[], now: number) =>
    (await serverCertificate(folder, "register", names, openPki(folder), now)).made.map((file) => basename(file));

  it("is made with its key, its chain behind it, and stays while it will do", async () => {
    const first = await serverCertificate(folder, "register", NAMES, openPki(folder), NOW);
    expect(first.made.map((file) => basename(file))).to.deep.equal(["register.key", "register.crt"]);
    expect(first.certificate.endsWith(openPki(folder).chain)).to.equal(true);
    expect(new X509Certificate(first.certificate).subjectAltName).to.equal(
      "DNS:register.example, IP Address:203.0.113.1, IP Address:2001:DB8:0:0:0:0:0:1",
    );
    expect(statSync(join(folder, "register.key")).mode & 0o777).to.equal(0o600);
    const second = await serverCertificate(folder, "register", NAMES, openPki(folder), NOW + 200 * DAY_MS);
    expect(second).to.deep.equal({ ...first, made: [] });
  });

  it("is made again with the same key when a third of its life is left", async () => {
    const first = await serverCertificate(folder, "register", NAMES, openPki(folder), NOW);
    expect(await made(NAMES, NOW + 243 * DAY_MS)).to.deep.equal([]);
    expect(await made(NAMES, NOW + 244 * DAY_MS)).to.deep.equal(["register.crt"]);
    expect((await serverCertificate(folder, "register", NAMES, openPki(folder), NOW + 244 * DAY_MS)).key).to.equal(first.key);
  });

  it("is made again for other names, and under another CA", async () => {
    await serverCertificate(folder, "register", NAMES, openPki(folder), NOW);
    expect(await made(["register.example"], NOW)).to.deep.equal(["register.crt"]);
    expect(await made(["register.example"], NOW)).to.deep.equal([]);
    for (const name of ["root", "infrastructure", "device"].flatMap((name) => [`${name}.key`, `${name}.crt`])) rmSync(join(folder, name));
    await makePki(folder, NOW);
    expect(await made(["register.example"], NOW)).to.deep.equal(["register.crt"]);
  });
});
