import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { expect } from "chai";
import { openAuthorities } from "../../../registry/ca/authorities.ts";
import { makePki } from "../../../registry/ca/files.ts";
import { issuerOf } from "../../../registry/ca/issuer-of.ts";
import { makeRootCrl, readRootCrl } from "../../../registry/ca/root-crl.ts";
import { generateKey } from "../../../registry/ca/signer.ts";
import { openPki } from "./open.ts";
import { opensslFolder } from "./openssl.ts";

const ROOT = "/O=Example Ltd/CN=Example Root 1";
const HOUR_MS = 3_600_000;

/** A pki folder as Terraform's tls provider fills it: SEC 1 keys, SHA-1 key identifiers, printable strings, names of its own. */
function foreignPki() {
  const folder = opensslFolder();
  folder.write(
    "ca.cnf",
    "[req]\nstring_mask=pkix\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n[plain]\nbasicConstraints=critical,CA:TRUE\n",
  );
  const key = (name: string) => folder.run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  const make = ["-config", "ca.cnf", "-extensions", "ca", "-days", "30"];
  key("root");
  folder.run("req", "-x509", "-new", "-key", "root.key", "-subj", ROOT, ...make, "-out", "root.crt");
  for (const name of ["infrastructure", "device"]) {
    key(name);
    folder.run(
      "req",
      "-new",
      "-config",
      "ca.cnf",
      "-key",
      `${name}.key`,
      "-subj",
      `/O=Example Ltd/CN=Example ${name} CA`,
      "-out",
      `${name}.csr`,
    );
    folder.run(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "root.crt",
      "-CAkey",
      "root.key",
      "-extfile",
      "ca.cnf",
      "-extensions",
      "ca",
      "-days",
      "20",
      "-out",
      `${name}.crt`,
    );
  }
  return folder;
}

describe("CAs that were made elsewhere", () => {
  let folder: ReturnType<typeof foreignPki>;
  before(() => {
    folder = foreignPki();
  });
  after(() => folder[Symbol.dispose]());

  it("are taken as they are: the root's list alone is made", async () => {
    const made = await makePki(folder.path, Date.now());
    expect(made.map((file) => basename(file))).to.deep.equal(["root.crl"]);
    expect(readFileSync(join(folder.path, "root.key"), "utf8")).to.match(/^-----BEGIN EC P/m);
  });

  it("are named in all that they sign as they name themselves, so that openssl finds the way up, lists included", async () => {
    await makePki(folder.path, Date.now());
    const ca = openPki(folder.path);
    const { device, all } = openAuthorities(folder.path, "https://register.example");
    expect(all.map(({ name }) => name)).to.deep.equal(["Example Root 1", "Example infrastructure CA", "Example device CA"]);
    const { spki } = generateKey().signer;
    const agent = await ca.issueAgent({ kind: "P-256", spki }, "web-1", Date.now());
    const client = await device?.issue(
      { kind: "P-256", spki, der: Buffer.alloc(0) },
      "0198f2c1-7d1e-7000-8000-0123456789ab",
      HOUR_MS,
      Date.now(),
    );
    expect(agent.issuer).to.equal("Example infrastructure CA");
    for (const [index, pem] of [agent.pem, client?.pem ?? ""].entries()) {
      folder.write(`leaf-${index}.pem`, pem);
      const above = index === 0 ? "infrastructure.crt" : "device.crt";
      const said = folder.runBoth(
        "verify",
        "-x509_strict",
        "-purpose",
        "sslclient",
        "-CAfile",
        "root.crt",
        "-untrusted",
        above,
        `leaf-${index}.pem`,
      );
      expect(said).to.equal(`leaf-${index}.pem: OK\n`);
    }
    expect(folder.runBoth("crl", "-inform", "DER", "-in", "root.crl", "-CAfile", "root.crt", "-noout", "-issuer")).to.match(
      /^issuer=O = Example Ltd, CN = Example Root 1\nverify OK\n$/,
    );
  });

  it("have their root's list from where its key is, by the commands of docs/aws.md; its number is the time", () => {
    using theirs = foreignPki();
    const docs = readFileSync(join(import.meta.dirname, "../../../docs/aws.md"), "utf8");
    const [, commands = ""] = /```sh\n(\[ -e index\.txt \][\s\S]*?)```/.exec(docs) ?? [];
    const run = () => {
      const { status, stderr } = spawnSync("/bin/sh", ["-euc", commands], { cwd: theirs.path, encoding: "utf8" });
      expect(status, stderr).to.equal(0);
      return readRootCrl(theirs.path, "root");
    };
    const first = run();
    expect(theirs.runBoth("crl", "-inform", "DER", "-in", "root.crl", "-CAfile", "root.crt", "-noout")).to.equal("verify OK\n");
    rmSync(join(theirs.path, "root.key"));
    const [root] = openAuthorities(theirs.path, "https://register.example").all;
    expect([root?.issuer, root?.kept?.number, root?.kept?.nextUpdate]).to.deep.equal([null, first?.number, first?.nextUpdate]);
    const days = ((first?.nextUpdate ?? 0) - Date.now()) / (24 * HOUR_MS);
    expect(Math.round(days)).to.equal(365);
    expect(first?.number).to.be.closeTo(Date.now() / 1_000, 60);
  });

  it("can be anchors by themselves, for a listener that is to trust none beside them", async () => {
    const ca = openPki(folder.path);
    folder.write("anchor.pem", await ca.makeAnchor());
    const issued = await ca.issueAgent({ kind: "P-256", spki: generateKey().signer.spki }, "web-1", Date.now());
    folder.write("agent.pem", issued.pem);
    expect(folder.runBoth("verify", "-purpose", "sslclient", "-CAfile", "anchor.pem", "agent.pem")).to.equal("agent.pem: OK\n");
  });

  it("sign the next generation of the device CA too", async () => {
    const next = await openAuthorities(folder.path, "https://register.example").makeNext("device", Date.now());
    const [own, root] = [next.certificate, readFileSync(join(folder.path, "root.crt"), "utf8")].map((pem) => new X509Certificate(pem));
    expect(root !== undefined && own?.checkIssued(root)).to.equal(true);
  });

  it("are refused when the root's key is another root's", async () => {
    using other = foreignPki();
    other.write("root.key", generateKey().pem);
    const { message } = await makePki(other.path, Date.now()).then(
      () => new Error("nothing was refused"),
      (error: Error) => error,
    );
    expect(message).to.equal(`Cannot use ${other.path}: root.key is not the key of root.crt.`);
  });

  it("have a key identifier of their key where their certificate has none", async () => {
    const plain = ["-config", "ca.cnf", "-extensions", "plain", "-days", "9"];
    folder.run("req", "-x509", "-new", "-key", "root.key", "-subj", ROOT, ...plain, "-out", "plain.crt");
    const key = generateKey();
    const issuer = issuerOf(readFileSync(join(folder.path, "plain.crt"), "utf8"), key.signer);
    expect(issuer.name).to.equal("Example Root 1");
    expect(await makeRootCrl(issuer, Date.now())).to.be.an.instanceOf(Buffer);
  });
});
