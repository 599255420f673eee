import { expect } from "chai";
import { encodePem } from "../../../lib/pem.ts";
import { csrFromPem } from "../../../lib/registration/csr.ts";
import { signSubmission } from "../../../lib/registration/submission.ts";
import { makeKeyAndCsr } from "../../../registry/ca/csr.ts";
import { all } from "../../../registry/store/store.ts";
import { opensslFolder } from "../ca/openssl.ts";
import { testAuthorities } from "../process/authorities.ts";
import { Harness, unsigned } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

const KEY = "0123456789abcdefghijkl";

describe("POST /v1/registrations with a csr", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  let root: string;
  before(async () => {
    harness = await Harness.open();
    const authorities = await testAuthorities();
    root = authorities.all[0]?.certificate ?? "";
    process = await harness.process(["127.0.0.0/8"], authorities);
    register = await RegisterUnderTest.start(harness);
  });
  after(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });
  const stored = async () => (await harness.rows((db) => all(db.selectFrom("submissions").select("id")))).length;

  it("tells the certificate again to the device's own proof: asked for, and as an event", async () => {
    const code = await harness.code({ pattern: "cert" });
    const device = await harness.device(code, { addresses: [] }, { csr: csrFromPem((await makeKeyAndCsr(null)).csr) });
    const headers = (): Record<string, string> => {
      const ask = unsigned(code, harness.clock.now(), { action: "status", signer: device.signer, addresses: [] });
      return {
        "entityos-nonce": ask.nonce,
        "entityos-time": String(ask.time),
        "entityos-signature": signSubmission(ask, device.privateKey),
      };
    };
    const [listed] = await harness.rows((db) => all(db.selectFrom("certificates").select("pem").where("device", "=", device.id)));
    const asked = await register.send("GET", `/v1/registrations/${device.registration}`, { headers: headers() });
    expect(asked.body.certificate).to.have.property("pem", listed?.pem);
    const { text } = await register.send("GET", `/v1/registrations/${device.registration}/events`, { headers: headers() });
    const processed = JSON.parse(/^event: processed\ndata: (.*)$/m.exec(text)?.[1] ?? "{}");
    expect(processed.certificate).to.deep.equal(asked.body.certificate);
  });

  it("answers with the certificate, again under the Idempotency-Key, and again when it is asked for", async () => {
    using folder = opensslFolder();
    const { key, csr } = await makeKeyAndCsr("mine");
    const code = await harness.code({ pattern: "either" });
    const body = register.body(code, {}, csr);
    const first = await register.post(body, { "idempotency-key": KEY });
    expect([first.status, first.body.pattern]).to.deep.equal([201, "either"]);
    const { pem, chain, notAfter } = first.body.certificate as { pem: string; chain: string; notAfter: number };
    const verify = ["-CAfile", folder.write("root.pem", root), "-untrusted", folder.write("chain.pem", chain)];
    const said = folder.run("verify", "-x509_strict", "-purpose", "sslclient", ...verify, folder.write("own.pem", pem));
    expect(said.toString()).to.match(/own.pem: OK\n$/);
    expect(folder.run("x509", "-in", "own.pem", "-noout", "-pubkey").toString()).to.equal(
      folder.run("pkey", "-in", folder.write("own.key", key), "-pubout").toString(),
    );
    expect(Date.parse(folder.run("x509", "-in", "own.pem", "-noout", "-enddate", "-dateopt", "iso_8601").toString().slice(9))).to.equal(
      notAfter,
    );
    expect((await register.post(body, { "idempotency-key": KEY })).body).to.deep.equal(first.body);
    const ask = unsigned(code, harness.clock.now(), { action: "status", addresses: [] });
    const headers = {
      "entityos-nonce": ask.nonce,
      "entityos-time": String(ask.time),
      "entityos-signature": signSubmission(ask, code.privateKey),
    };
    const again = await register.send("GET", `/v1/registrations/${String(first.body.id)}`, { headers });
    expect(again.body).to.deep.equal({ ...first.body, ended: null });
    expect(await harness.used(code)).to.equal(1);
  });

  const pem = (der: Buffer) => encodePem("CERTIFICATE REQUEST", der);
  const refused: readonly [what: string, csr: string, problem: string][] = [
    ["is no PEM", "hello", "422 csr_format"],
    ["is another kind of PEM", encodePem("CERTIFICATE", Buffer.from("3000", "hex")), "422 csr_format"],
    ["is no SEQUENCE", pem(Buffer.from("0500", "hex")), "422 csr_format"],
    ["is cut short", pem(Buffer.from("300402", "hex")), "422 csr_format"],
    ["has something behind it", pem(Buffer.from("300000", "hex")), "422 csr_format"],
    ["has no definite length", pem(Buffer.from("30800000", "hex")), "422 csr_format"],
    ["has a longer length than it needs", pem(Buffer.from("308100", "hex")), "422 csr_format"],
    ["is larger than 8192 bytes", pem(Buffer.alloc(8_193)), "413 csr_size"],
  ];
  for (const [what, csr, problem] of refused) {
    it(`refuses one that ${what} before anything is stored: ${problem}`, async () => {
      const before = await stored();
      const { status, body } = await register.post({ ...register.body(await harness.code()), csr });
      expect([`${status} ${String(body.code)}`, await stored()]).to.deep.equal([problem, before]);
    });
  }

  it("refuses another one than was signed for, and one that was left out", async () => {
    const code = await harness.code({ pattern: "either" });
    const [mine, other] = [await makeKeyAndCsr(null), await makeKeyAndCsr(null)];
    const body = register.body(code, {}, mine.csr);
    const before = await stored();
    const answers = [await register.post({ ...body, csr: other.csr }), await register.post({ ...body, csr: null })];
    expect(answers.map(({ status, body }) => `${status} ${String(body.code)}`)).to.deep.equal(["401 proof_refused", "401 proof_refused"]);
    expect(await stored()).to.equal(before);
  });
});
