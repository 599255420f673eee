import { join } from "node:path";
import { connect } from "node:tls";
import { expect } from "chai";
import { encodePem } from "../../../lib/pem.ts";
import { createIssuer, issueCertificate } from "../../../registry/ca/certificate.ts";
import { makeKeyAndCsr } from "../../../registry/ca/csr.ts";
import { coversName } from "../../../registry/ca/extensions.ts";
import { revokeCertificate } from "../../../registry/ca/ledger.ts";
import { generateKey, loadSigner } from "../../../registry/ca/signer.ts";
import { type Identity, NOW, TestControl } from "./control.ts";

describe("control over mutual TLS", () => {
  let control: TestControl;
  before(async () => {
    control = await TestControl.start();
  });
  after(() => control[Symbol.asyncDispose]());
  beforeEach(() => {
    control.requests = 0;
  });

  /** A client certificate for an operator's name, signed by a CA of one's own making. */
  async function foreign(signedByRoot: boolean): Promise<Identity> {
    const [caKey, key] = [generateKey(), generateKey()];
    const root = loadSigner(join(control.folder, "pki", "root.key"));
    const { X509Certificate } = await import("node:crypto");
    const rootName = new X509Certificate(control.ca.root).subject.replace("CN=", "");
    const now = Date.now();
    const name = "entityOS device CA 00000000";
    const life = { now, notAfter: now + 3_600_000 };
    const ca = await issueCertificate(signedByRoot ? createIssuer(rootName, root) : createIssuer(name, caKey.signer), {
      subject: name,
      spki: caKey.signer.spki,
      names: [],
      uses: [],
      pathLength: 0,
      ...life,
    });
    const leaf = await issueCertificate(createIssuer(name, caKey.signer), {
      subject: "alice",
      spki: key.signer.spki,
      names: [{ kind: "uri", value: "urn:entityos:operator:alice" }],
      uses: ["clientAuth"],
      pathLength: undefined,
      ...life,
    });
    return { key: key.pem, certificate: encodePem("CERTIFICATE", leaf.der) + encodePem("CERTIFICATE", ca.der) };
  }

  /** What the client saw, and that control's HTTP saw nothing. */
  async function refusedBeforeHttp(identity: Identity | null): Promise<void> {
    const outcome = await control.remote("/v1/admin/status", identity).then(
      (reply) => `answered ${reply.status}`,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(outcome).to.match(
      /^(ECONNRESET|EPIPE|ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED|ERR_SSL_TLSV1_ALERT_UNKNOWN_CA|ERR_SSL_SSL\/TLS_ALERT_.*|ERR_SSL_.*ALERT.*)$/,
    );
    expect(control.requests).to.equal(0);
  }

  it("answers an operator", async () => {
    const reply = await control.remote("/v1/admin/status", await control.identity("operator", "alice"));
    expect(reply.status).to.equal(200);
    expect(reply.body.name).to.equal("register.example");
    expect(control.requests).to.equal(1);
  });

  it("reads no HTTP from a client without a certificate", () => refusedBeforeHttp(null));
  it("reads no HTTP from a client with a certificate of an unknown CA", async () => refusedBeforeHttp(await foreign(false)));
  it("reads no HTTP from a client with a certificate of another CA under the same root", async () =>
    refusedBeforeHttp(await foreign(true)));
  it("reads no HTTP from a client with a server's certificate", async () =>
    refusedBeforeHttp(await control.identity("server", "web.example")));

  it("speaks TLS 1.3 and nothing older", async () => {
    const { key, certificate } = await control.identity("operator", "alice");
    const outcome = await new Promise<string>((resolve) => {
      const socket = connect({ port: control.port, host: "127.0.0.1", ca: control.ca.root, key, cert: certificate, maxVersion: "TLSv1.2" });
      socket.once("secureConnect", () => {
        resolve("connected");
        socket.destroy();
      });
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    });
    expect(outcome).to.equal("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
  });

  const paths = ["/codes", "/profiles", "/devices", "/devices/x", "/grants", "/agents", "/audit", "/status"];
  for (const path of paths) {
    it(`refuses an agent at GET ${path} with 403 request_role`, async () => {
      const reply = await control.remote(`/v1/admin${path}`, await control.identity("agent", "host-1"));
      expect([reply.status, reply.body.code]).to.deep.equal([403, "request_role"]);
    });
  }
  const changes: readonly [method: string, path: string][] = [
    ["POST", "/codes"],
    ["DELETE", "/codes/AAAAAAAA"],
    ["PUT", "/profiles/desktop"],
    ["POST", "/devices/x/revoke"],
    ["POST", "/agents"],
    ["POST", "/certificates/server"],
    ["POST", "/certificates/operator"],
    ["POST", "/audit/verify"],
  ];
  for (const [method, path] of changes) {
    it(`refuses an agent at ${method} ${path} with 403 request_role`, async () => {
      const reply = await control.remote(`/v1/admin${path}`, await control.identity("agent", "host-1"), { method, body: {} });
      expect([reply.status, reply.body.code]).to.deep.equal([403, "request_role"]);
    });
  }

  it("refuses an operator whose certificate was revoked, on a connection that is open too", async () => {
    const operator = await control.identity("operator", "bob");
    expect((await control.remote("/v1/admin/status", operator)).status).to.equal(200);
    await control.store.write((db) => revokeCertificate(db, operator.issued.fingerprint, control.now, "unspecified"));
    const reply = await control.remote("/v1/admin/status", operator);
    expect([reply.status, reply.body.code]).to.deep.equal([403, "request_role"]);
  });

  it("refuses an operator whose certificate is over, though the connection is not", async () => {
    const operator = await control.identity("operator", "dora");
    control.now = operator.issued.notAfter - 1;
    expect((await control.remote("/v1/admin/status", operator)).status).to.equal(200);
    control.now = operator.issued.notAfter;
    const reply = await control.remote("/v1/admin/status", operator);
    control.now = NOW;
    expect([reply.status, reply.body.code]).to.deep.equal([403, "request_role"]);
  });

  for (const name of ["localhost", "register.example", "127.0.0.1"]) {
    it(`lets an operator make no certificate that stands in for the registry: ${name}`, async () => {
      const { csr } = await makeKeyAndCsr(null);
      const ask = { method: "POST", body: { names: ["web.example", name], csr } };
      const reply = await control.remote("/v1/admin/certificates/server", await control.identity("operator", "alice"), ask);
      expect([reply.status, reply.body.code]).to.deep.equal([403, "local_only"]);
      expect((await control.local("/v1/admin/certificates/server", ask)).status).to.equal(201);
    });
  }

  it("counts a wildcard as every name that it is good for", () => {
    expect(coversName("*.registry.example", "control.registry.example")).to.equal(true);
    expect(coversName("*.registry.example", "registry.example")).to.equal(false);
    expect(coversName("*.registry.example", "a.control.registry.example")).to.equal(false);
    expect(coversName("2001:DB8::0:1", "2001:db8::1")).to.equal(true);
  });

  it("refuses an operator whose certificate Storage does not know", async () => {
    const key = generateKey();
    const issued = await control.ca.issueOperator({ kind: "P-256", spki: key.signer.spki }, "carol", Date.now());
    const reply = await control.remote("/v1/admin/status", { key: key.pem, certificate: issued.pem + control.ca.chain });
    expect([reply.status, reply.body.code]).to.deep.equal([403, "request_role"]);
  });

  it("lets an operator make no other operator", async () => {
    const reply = await control.remote("/v1/admin/certificates/operator", await control.identity("operator", "alice"), {
      method: "POST",
      body: { name: "mallory", csr: "" },
    });
    expect([reply.status, reply.body.code]).to.deep.equal([403, "local_only"]);
  });
});
