import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { renewServiceWhenDue } from "../../../agent/feed/service-renewal.ts";
import { type ServiceFiles, shownFile } from "../../../agent/service-certificate.ts";
import { requestFor } from "../../../lib/pkcs10.ts";
import { openAuthorities } from "../../../registry/ca/authorities.ts";
import { makeKeyAndCsr, parseCsrPem } from "../../../registry/ca/csr.ts";
import { revokeListed } from "../../../registry/process/listed-certificates.ts";
import { all } from "../../../registry/store/store.ts";
import { TestControl } from "../../registry/admin/control.ts";
import { agentScene } from "./agent-scene.ts";

const DAY_MS = 86_400_000;
const NAMES = ["app.example", "203.0.113.10", "2001:db8::10"];

describe("a service's certificate", () => {
  const scene = agentScene();
  const { identity, read, write, makeService } = scene;
  let service: ServiceFiles;
  const files = () => service;
  beforeEach(async () => {
    service = await makeService(NAMES);
  });
  const renew = (now = Date.now() + 250 * DAY_MS) =>
    renewServiceWhenDue(identity(), files(), now, new AbortController().signal).catch((error: Error) => String(error.cause ?? error));
  const printOf = (pem: string) => new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();

  it("is renewed when a third of its life is left and not before: for the same key, the same names, and shown from then on", async () => {
    expect([await renew(Date.now() + 240 * DAY_MS), existsSync(files().renewed)]).to.deep.equal([null, false]);
    scene.control.now = Date.now() + 5_000;
    const notAfter = await renew();
    const [before, next] = [new X509Certificate(read("service.crt")), new X509Certificate(read("renewed.crt"))];
    expect([Date.parse(next.validTo), next.subjectAltName]).to.deep.equal([notAfter, before.subjectAltName]);
    expect(next.subjectAltName).to.equal("DNS:app.example, IP Address:203.0.113.10, IP Address:2001:DB8:0:0:0:0:0:10");
    expect(next.checkPrivateKey(createPrivateKey(read("service.key")))).to.equal(true);
    expect(shownFile(files())).to.equal(files().renewed);
    const audit = await scene.control.store.read((db) =>
      all(db.selectFrom("audit").select(["actor", "detail"]).where("action", "=", "certificate.renewed")),
    );
    expect(audit.map(({ actor, detail }) => [actor, JSON.parse(detail)])).to.deep.equal([
      [
        "agent:host-1",
        { subject: "app.example", presented: printOf(read("service.crt")), fingerprint: printOf(read("renewed.crt")), names: NAMES },
      ],
    ]);
    // What is renewed from then on is the renewed one.
    scene.control.now = Date.now() + 10_000;
    await renew();
    expect(printOf(read("renewed.crt"))).to.not.equal(next.fingerprint256.replaceAll(":", "").toLowerCase());
  });

  it("is renewed at once when it is of another CA than the agent's own certificate: that one left", async () => {
    const authorities = openAuthorities(join(scene.control.folder, "pki"), "https://register.example");
    const { id } = await authorities.makeNext("infrastructure", Date.now());
    authorities.activate(id);
    const issued = await authorities.infrastructure.issueAgent(
      parseCsrPem(requestFor(createPrivateKey(read("agent.key")))),
      "host-1",
      Date.now(),
    );
    write("agent.crt", issued.pem + authorities.infrastructure.chain);
    // This control was started before that CA was there, so it is asked in vain: what counts is that it is asked.
    expect(await renew(Date.now())).to.be.a("string");
  });

  it("that the registry did not make is left to whoever made it", async () => {
    const other = await TestControl.start();
    const { key, certificate } = await other.identity("server", "app.example");
    await other[Symbol.asyncDispose]();
    write("service.crt", certificate);
    write("service.key", key);
    expect(await renew()).to.equal(null);
    write("service.crt", `${certificate.split(/(?<=END CERTIFICATE-----\n)/)[0]}`);
    expect(await renew()).to.equal(null);
  });

  it("is not renewed for who is revoked, for another key, for a client's certificate, or for the registry's own names", async () => {
    const asking = async (body: object) => {
      const agent = { key: read("agent.key"), certificate: read("agent.crt") };
      const { status, body: said } = await scene.control.remote("/v1/agent/service-renewal", agent, { method: "POST", body });
      return [status, said.code];
    };
    const csr = requestFor(createPrivateKey(read("service.key")));
    const fingerprint = printOf(read("service.crt"));
    const another = (await makeKeyAndCsr(null)).csr;
    expect(await asking({ csr: another, fingerprint })).to.deep.equal([404, "certificate_unknown"]);
    expect(await asking({ csr, fingerprint: "0".repeat(64) })).to.deep.equal([404, "certificate_unknown"]);
    const own = requestFor(createPrivateKey(read("agent.key")));
    expect(await asking({ csr: own, fingerprint: printOf(read("agent.crt")) })).to.deep.equal([404, "certificate_unknown"]);
    await scene.control.store.write((db) =>
      revokeListed(db, scene.control.lead, { fingerprint, reason: "keyCompromise", now: scene.control.now, actor: "test" }),
    );
    expect(await asking({ csr, fingerprint })).to.deep.equal([403, "certificate_revoked"]);
    await makeService(["localhost"]);
    expect(await renew()).to.match(/local_only/);
    scene.control.now = Date.now() + 366 * DAY_MS;
    await makeService(NAMES);
    scene.control.now += 366 * DAY_MS;
    const ended = requestFor(createPrivateKey(read("service.key")));
    expect(await asking({ csr: ended, fingerprint: printOf(read("service.crt")) })).to.deep.equal([403, "certificate_ended"]);
  });

  it("is renewed for no operator, and for nobody without a certificate", async () => {
    const body = { csr: requestFor(createPrivateKey(read("service.key"))), fingerprint: printOf(read("service.crt")) };
    const operator = await scene.control.identity("operator", "alice");
    const asked = await scene.control.remote("/v1/agent/service-renewal", operator, { method: "POST", body });
    expect([asked.status, asked.body.code]).to.deep.equal([403, "request_role"]);
    const refused = await scene.control.remote("/v1/agent/service-renewal", null, { method: "POST", body }).catch(() => "no answer");
    expect(refused).to.equal("no answer");
  });
});
