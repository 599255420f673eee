import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { makeRoot } from "../../../registry/ca/authority.ts";
import { makeCsr, parseCsr } from "../../../registry/ca/csr.ts";
import { createInfrastructureCa, type InfrastructureCa, makeInfrastructure } from "../../../registry/ca/infrastructure.ts";
import { issuerOf } from "../../../registry/ca/issuer-of.ts";
import { generateKey } from "../../../registry/ca/signer.ts";
import { opensslFolder } from "./openssl.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);

describe("the infrastructure CA", () => {
  let folder: ReturnType<typeof opensslFolder>;
  let ca: InfrastructureCa;
  const leaf = generateKey();
  const asked = { kind: "P-256", spki: leaf.signer.spki } as const;

  before(async () => {
    folder = opensslFolder();
    const [rootKey, key] = [generateKey(), generateKey()];
    const root = await makeRoot(rootKey.signer, NOW);
    ca = { root, ...createInfrastructureCa(await makeInfrastructure(issuerOf(root, rootKey.signer), key.signer, NOW), key.signer) };
    folder.write("root.pem", ca.root);
    folder.write("infrastructure.pem", ca.chain);
  });
  after(() => folder[Symbol.dispose]());

  function verify(pem: string, purpose: string): string {
    const file = folder.write("leaf.pem", pem);
    const at = ["-attime", String(NOW / 1000)];
    const chain = ["-CAfile", "root.pem", "-untrusted", "infrastructure.pem"];
    try {
      folder.run("verify", "-x509_strict", ...at, "-purpose", purpose, ...chain, file);
      return "OK";
    } catch (error) {
      return /error (\d+)/.exec(String(error))?.[1] ?? String(error);
    }
  }

  it("makes chains that openssl verifies strictly, each for its purpose alone", async () => {
    const server = await ca.issueServer(asked, ["control.example", "203.0.113.1", "2001:db8::1"], NOW);
    const agent = await ca.issueAgent(asked, "host-1", NOW);
    const operator = await ca.issueOperator(asked, "alice", NOW);
    expect(verify(server.pem, "sslserver")).to.equal("OK");
    expect(verify(agent.pem, "sslclient")).to.equal("OK");
    expect(verify(operator.pem, "sslclient")).to.equal("OK");
    // 26 is X509_V_ERR_INVALID_PURPOSE.
    expect(verify(server.pem, "sslclient")).to.equal("26");
    expect(verify(agent.pem, "sslserver")).to.equal("26");
    expect(verify(operator.pem, "sslserver")).to.equal("26");
  });

  it("cannot be followed by another CA", async () => {
    const agent = await ca.issueAgent(asked, "host-1", NOW);
    expect(new X509Certificate(ca.root).ca).to.equal(true);
    expect(new X509Certificate(ca.chain).ca).to.equal(true);
    expect(new X509Certificate(agent.pem).ca).to.equal(false);
    const text = folder.run("x509", "-in", "infrastructure.pem", "-noout", "-ext", "basicConstraints,keyUsage").toString();
    expect(text).to.equal(
      "X509v3 Basic Constraints: critical\n    CA:TRUE, pathlen:0\nX509v3 Key Usage: critical\n    Certificate Sign, CRL Sign\n",
    );
  });

  it("takes names from its caller and nothing but the key from the request", async () => {
    const csr = parseCsr(await makeCsr(leaf.signer, "i am root"));
    const certificate = new X509Certificate((await ca.issueAgent(csr, "host-1", NOW)).pem);
    expect(certificate.subject).to.equal("CN=host-1");
    expect(certificate.subjectAltName).to.equal("URI:urn:entityos:agent:host-1");
    expect(certificate.keyUsage).to.deep.equal(["1.3.6.1.5.5.7.3.2"]);
    expect(certificate.publicKey.export({ type: "spki", format: "der" }).equals(leaf.signer.spki)).to.equal(true);
    expect(new X509Certificate((await ca.issueOperator(csr, "alice", NOW)).pem).subjectAltName).to.equal("URI:urn:entityos:operator:alice");
  });

  it("says what it made: times from a minute before now, life by kind, fingerprint, serial", async () => {
    const agent = await ca.issueAgent(asked, "host-1", NOW);
    expect(agent.subject).to.equal("urn:entityos:agent:host-1");
    expect(agent.notBefore).to.equal(NOW - 60_000);
    expect(agent.notAfter).to.equal(NOW + 90 * DAY_MS);
    expect(agent.issuer).to.match(/^entityOS infrastructure CA [0-9a-f]{8}$/);
    folder.write("facts.pem", agent.pem);
    const fingerprint = folder.run("x509", "-in", "facts.pem", "-noout", "-fingerprint", "-sha256").toString();
    expect(fingerprint.trim().split("=")[1]?.replaceAll(":", "").toLowerCase()).to.equal(agent.fingerprint);
    const serial = folder.run("x509", "-in", "facts.pem", "-noout", "-serial").toString();
    expect(serial).to.equal(`serial=${agent.serial.toUpperCase()}\n`);
    expect((await ca.issueOperator(asked, "alice", NOW)).notAfter).to.equal(NOW + 365 * DAY_MS);
    expect((await ca.issueServer(asked, ["a.example"], NOW)).notAfter).to.equal(NOW + 365 * DAY_MS);
  });

  it("never makes what outlives the CA itself", async () => {
    const end = Date.parse(new X509Certificate(ca.chain).validTo);
    expect(end).to.equal(NOW + 3650 * DAY_MS);
    expect((await ca.issueAgent(asked, "host-1", end - DAY_MS)).notAfter).to.equal(end);
  });

  it("gives every certificate another serial of up to 128 bits", async () => {
    const serials = new Set<string>();
    for (let n = 0; n < 50; n++) serials.add((await ca.issueAgent(asked, "host-1", NOW)).serial);
    expect(serials.size).to.equal(50);
    expect(Math.max(...[...serials].map((serial) => serial.length))).to.equal(32);
  });

  it("writes server names as they are checked, and leaves the subject empty when the first is too long for one", async () => {
    const long = `${"a".repeat(60)}.${"b".repeat(60)}.example`;
    const certificate = new X509Certificate((await ca.issueServer(asked, [long, "*.a.example", "203.0.113.1", "2001:db8::1"], NOW)).pem);
    expect(certificate.subject).to.equal(undefined);
    expect(certificate.checkHost(long)).to.equal(long);
    expect(certificate.checkHost("x.a.example")).to.equal("*.a.example");
    expect(certificate.checkIP("203.0.113.1")).to.equal("203.0.113.1");
    expect(certificate.checkIP("2001:db8::1")).to.equal("2001:db8::1");
    expect(verify(certificate.toString(), "sslserver")).to.equal("OK");
  });

  for (const name of [
    "",
    "a b",
    "UPPER.example",
    "a..example",
    "-a.example",
    "*",
    "*.example",
    "a.*.example",
    "fe80::1%eth0",
    "10.1",
    "a/b",
    "a\nb",
    "ü.example",
  ]) {
    it(`refuses the server name ${JSON.stringify(name)} as server_name`, async () => {
      const error = await ca.issueServer(asked, ["good.example", name], NOW).then(
        () => null,
        (reason) => reason,
      );
      expect(error).to.be.an.instanceOf(Problem).with.property("code", "server_name");
    });
  }

  it("refuses a server certificate without names as server_name", async () => {
    const error = await ca.issueServer(asked, [], NOW).catch((reason) => reason);
    expect(error).to.be.an.instanceOf(Problem).with.property("code", "server_name");
  });
});
