import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { readIdentity } from "../../../agent/feed/identity.ts";
import { renewWhenDue } from "../../../agent/feed/renewal.ts";
import { requestFor } from "../../../lib/pkcs10.ts";
import { parseCsrPem } from "../../../registry/ca/csr.ts";
import { revokeListed } from "../../../registry/process/listed-certificates.ts";
import { all } from "../../../registry/store/store.ts";
import { agentScene } from "./agent-scene.ts";

const DAY_MS = 86_400_000;

describe("an agent's certificate", () => {
  const scene = agentScene();
  const { identity } = scene;
  const renew = (now: number) => renewWhenDue(identity(), now, new AbortController().signal);
  const due = () => Date.now() + 61 * DAY_MS;
  const printOf = (pem: string | Buffer) => new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();

  it("is renewed when a third of its life is left and not before: for the same key and name, and used from then on", async () => {
    expect([await renew(Date.now() + 59 * DAY_MS), existsSync(identity().renewed)]).to.deep.equal([null, false]);
    scene.control.now = Date.now() + 1_000;
    const notAfter = await renew(due());
    const { cert, key } = readIdentity(identity());
    const next = new X509Certificate(cert);
    expect([Date.parse(next.validTo), next.subjectAltName]).to.deep.equal([notAfter, "URI:urn:entityos:agent:host-1"]);
    expect(next.checkPrivateKey(createPrivateKey(key))).to.equal(true);
    const agents = await scene.control.store.read((db) => all(db.selectFrom("agents").select("fingerprint")));
    expect(agents).to.deep.equal([{ fingerprint: printOf(cert) }]);
    expect(readFileSync(identity().certificate, "utf8")).not.to.equal(cert.toString());
    const audit = await scene.control.store.read((db) =>
      all(db.selectFrom("audit").select(["actor", "action"]).where("action", "=", "agent.renewed")),
    );
    expect(audit).to.deep.equal([{ actor: "agent:host-1", action: "agent.renewed" }]);
  });

  it("counts with the one before, which goes on to its end: an answer that got lost locks nobody out", async () => {
    scene.control.now = Date.now() + 1_000;
    const before = readIdentity(identity());
    await renew(due());
    const after = readIdentity(identity());
    const path = "/v1/crl/device-00000000.der";
    const asked = [before, after].map(({ cert, key }) => scene.control.remote(path, { key: key.toString(), certificate: cert.toString() }));
    expect((await Promise.all(asked)).map(({ status }) => status)).to.deep.equal([404, 404]);
    const input = { fingerprint: scene.fingerprint, reason: "superseded", now: scene.control.now, actor: "test" } as const;
    await scene.control.store.write((db) => revokeListed(db, scene.control.lead, input));
    const again = [before, after].map(({ cert, key }) => scene.control.remote(path, { key: key.toString(), certificate: cert.toString() }));
    expect((await Promise.all(again)).map(({ status }) => status)).to.deep.equal([403, 404]);
  });

  it("is not renewed for who is revoked, and stays as it is", async () => {
    const input = { fingerprint: scene.fingerprint, reason: "keyCompromise", now: scene.control.now, actor: "test" } as const;
    await scene.control.store.write((db) => revokeListed(db, scene.control.lead, input));
    const refused = await renew(due()).catch((error: Error) => error.message);
    expect(refused).to.match(/answers 403/);
    expect(existsSync(identity().renewed)).to.equal(false);
  });

  it("is not renewed for an operator, nor for a page of another site", async () => {
    const csr = requestFor(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    const operator = await scene.control.identity("operator", "alice");
    const asked = await scene.control.remote("/v1/agent/renewal", operator, { method: "POST", body: { csr } });
    expect([asked.status, asked.body.code]).to.deep.equal([403, "request_role"]);
    const agent = { key: readFileSync(identity().key, "utf8"), certificate: readFileSync(identity().certificate, "utf8") };
    const other = await scene.control.remote("/v1/agent/renewal", agent, {
      method: "POST",
      body: { csr },
      headers: { origin: "https://evil.example" },
    });
    expect([other.status, other.body.code]).to.deep.equal([403, "cross_site"]);
  });

  it("in the state folder is passed over when it is of another key: the agent was enrolled anew", async () => {
    scene.control.now = Date.now() + 1_000;
    await renew(due());
    const { key, certificate } = await scene.control.identity("agent", "host-1");
    writeFileSync(identity().key, key);
    writeFileSync(identity().certificate, certificate);
    expect(readIdentity(identity()).cert.toString()).to.equal(certificate);
  });

  it("is asked for with a request that is read as any other", () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { kind, spki } = parseCsrPem(requestFor(privateKey));
    expect([kind, spki.equals(publicKey.export({ type: "spki", format: "der" }))]).to.deep.equal(["P-256", true]);
  });
});
