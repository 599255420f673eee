import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { generateCode } from "../../../lib/registration/code.ts";
import { endDevice } from "../../../registry/process/devices.ts";
import { all } from "../../../registry/store/store.ts";
import { withCheck } from "./check-character.ts";
import { curl } from "./curl.ts";
import { estScene } from "./est-scene.ts";

describe("EST", () => {
  const scene = estScene();
  const { code, est, post, told, request, certificate, urnOf, devices, log } = scene;

  it("gives its CAs to whoever asks, as openssl pkcs7 reads them", async () => {
    const { status, headers, body } = await est("cacerts");
    expect([status, headers["content-type"], headers["content-transfer-encoding"], headers["cache-control"]]).to.deep.equal([
      200,
      "application/pkcs7-mime; smime-type=certs-only",
      "base64",
      "no-store",
    ]);
    scene.folder.write("cacerts.b64", body);
    scene.folder.run("base64", "-d", "-in", "cacerts.b64", "-out", "cacerts.p7");
    const text = scene.folder.run("pkcs7", "-inform", "DER", "-in", "cacerts.p7", "-print_certs").toString();
    expect(text.match(/^subject=.*$/gm)?.map((line) => line.replace(/ [0-9a-f]{8}$/, ""))).to.deep.equal([
      "subject=CN = entityOS device CA",
      "subject=CN = entityOS root",
    ]);
    expect(text).to.contain(scene.root.trim());
    scene.folder.run("cms", "-inform", "DER", "-in", "cacerts.p7", "-cmsout", "-noout");
  });

  it("answers in lines that base64(1) reads, as the documentation has it", async () => {
    const { body } = await est("cacerts");
    const { status, stdout, stderr } = spawnSync("base64", ["-d"], { input: body });
    expect([status, stderr.toString()]).to.deep.equal([0, ""]);
    expect(stdout).to.deep.equal(Buffer.from(body.toString(), "base64"));
  });

  it("says what a request should look like: P-256 and SHA-256", async () => {
    const { status, headers, body } = await est("csrattrs");
    expect([status, headers["content-type"], headers["content-transfer-encoding"]]).to.deep.equal([200, "application/csrattrs", "base64"]);
    scene.folder.write("attributes.b64", body);
    scene.folder.run("base64", "-d", "-in", "attributes.b64", "-out", "attributes.der");
    const lines = scene.folder
      .run("asn1parse", "-inform", "DER", "-in", "attributes.der")
      .toString()
      .match(/OBJECT.*$/gm);
    expect(lines).to.deep.equal([
      "OBJECT            :id-ecPublicKey",
      "OBJECT            :prime256v1",
      "OBJECT            :ecdsa-with-SHA256",
    ]);
  });

  it("enrols with the code as the password, and the certificate is one that openssl verifies strictly", async () => {
    const answer = await post("simpleenroll", request("first"), "-u", `estuser:${(await code()).text}`);
    expect([answer.status, answer.headers["content-type"], answer.headers["content-transfer-encoding"]]).to.deep.equal([
      200,
      "application/pkcs7-mime; smime-type=certs-only",
      "base64",
    ]);
    const own = certificate(answer, "first");
    scene.folder.write(
      "chain.pem",
      (await scene.harness.rows((db) => all(db.selectFrom("trust").select("body").where("id", "like", "device-%"))))[0]?.body ?? "",
    );
    scene.folder.run("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "chain.pem", "first.pem");
    expect(own.checkIssued(new X509Certificate(readFileSync(join(scene.folder.path, "chain.pem"))))).to.equal(true);
    expect(scene.folder.run("x509", "-in", "first.pem", "-noout", "-pubkey").toString()).to.equal(
      scene.folder.run("pkey", "-in", "first.key", "-pubout").toString(),
    );
    expect(own.subject).to.match(/^CN=urn:entityos:device:[0-9a-f-]{36}$/);
    expect(own.subjectAltName).to.equal(`URI:${urnOf(own)}`);
  });

  it("takes base 64 in lines, in one line, and as Windows breaks them, and the code however it is typed", async () => {
    const { text } = await code({}, 3);
    const ways: readonly (readonly [typed: string, broken: (base64: string) => string])[] = [
      [text, (base64) => base64],
      [text.toLowerCase(), (base64) => `${base64.match(/.{1,40}/g)?.join("\r\n")}\r\n`],
      [text.replaceAll("-", " "), (base64) => `  ${base64.match(/.{1,7}/g)?.join("\n\t")}\n\n`],
    ];
    for (const [typed, broken] of ways) {
      request("lines");
      const body = broken(readFileSync(join(scene.folder.path, "lines.der")).toString("base64"));
      expect(told(await post("simpleenroll", base(scene.folder.write("body", body)), "-u", `:${typed}`))).to.equal("200");
    }
  });

  it("is spent once by the same request sent again, which gets the same certificate; another request is another device", async () => {
    const one = await code({}, 2);
    const [a, b] = [request("again"), request("other")];
    const before = await devices();
    const answers = [
      await post("simpleenroll", a, "-u", `x:${one.text}`),
      await post("simpleenroll", a, "-u", `y:${one.text}`),
      await post("simpleenroll", b, "-u", `x:${one.text}`),
      await post("simpleenroll", a, "-u", `x:${one.text}`),
      await post("simpleenroll", request("third"), "-u", `x:${one.text}`),
    ];
    expect(answers.map(told)).to.deep.equal(["200", "200", "200", "200", "403 code_spent"]);
    expect(new Set([0, 1, 3].map((index) => answers[index]?.body.toString())).size).to.equal(1);
    expect([await devices(), await scene.harness.used(one)]).to.deep.equal([before + 2, 2]);
  });

  it("is refused to who sends the same once more after its device was revoked, or has left", async () => {
    const one = await code({}, 2);
    for (const [name, end, said] of [
      ["revoked", "revoked", "403 device_revoked"],
      ["left", "left", "403 device_left"],
    ] as const) {
      const body = request(name);
      const send = () => post("simpleenroll", body, "-u", `x:${one.text}`);
      const device = urnOf(certificate(await send(), name)).slice("urn:entityos:device:".length);
      await scene.harness.store.write((db) => endDevice(db, scene.harness.lead, { device, reason: end, now: scene.harness.clock.now() }));
      expect(told(await send())).to.equal(said);
    }
  });

  it("asks for credentials where there are none, or none that could be a code", async () => {
    const { text } = await code();
    request("anonymous");
    for (const args of [
      [],
      ["-H", "Authorization: Bearer abc"],
      ["-H", "Authorization: Basic"],
      ["-H", "Authorization: Basic ***"],
      ["-H", `Authorization: Basic ${Buffer.from("no colon").toString("base64")}`],
      ["-u", "x:"],
      ["-u", "x:AAAAA-AAAAA"],
      ["-u", `x:${text.slice(0, -1)}${text.endsWith("0") ? "1" : "0"}`],
    ]) {
      const answer = await post("simpleenroll", "anonymous.b64", ...args);
      expect([told(answer), answer.headers["www-authenticate"]]).to.deep.equal([
        "401 credentials_required",
        'Basic realm="register.example", charset="UTF-8"',
      ]);
    }
  });

  it("refuses an unknown code and a wrong one in the same words, and counts them as register does", async () => {
    const [right, other] = [await code(), await scene.harness.code({}, { profile: "unrelated" })];
    request("wrong");
    const unknown = await post("simpleenroll", "wrong.b64", "-u", `x:${generateCode().text}`);
    expect([told(unknown), unknown.headers["www-authenticate"]]).to.deep.equal([
      "401 proof_refused",
      'Basic realm="register.example", charset="UTF-8"',
    ]);
    const forged = forgedCode(right.selector);
    for (const expected of ["401 proof_refused", "401 proof_refused", "401 proof_refused", "429 proofs_limited"]) {
      const answer = await post("simpleenroll", "wrong.b64", "-u", `x:${forged}`);
      expect(told(answer)).to.equal(expected);
      if (expected.startsWith("401")) expect(answer.body.toString()).to.equal(unknown.body.toString());
      else expect(Number(answer.headers["retry-after"])).to.be.within(1, 3_600);
    }
    expect(await scene.harness.used(other)).to.equal(0);
    await scene.harness.store.write((db) => all(db.deleteFrom("attempts")));
  });

  for (const [profile, settings, expected] of [
    ["takes no plain codes", { plainCode: false }, "403 plain_code_refused"],
    ["admits by address alone", { pattern: "ip" }, "422 nothing_requested"],
    ["admits by certificate and address", { pattern: "both" }, "422 nothing_requested"],
    ["admits by either", { pattern: "either" }, "200"],
  ] as const) {
    it(`enrolls as '${expected}' with a profile that ${profile}`, async () => {
      const one = await code(settings);
      expect(told(await post("simpleenroll", request(`p-${expected.slice(0, 3)}`), "-u", `x:${one.text}`))).to.equal(expected);
      expect(await scene.harness.used(one)).to.equal(expected === "200" ? 1 : 0);
    });
  }

  for (const [what, expected, args, make] of [
    ["JSON", "415 media_type", ["-H", "Content-Type: application/json"], () => "{}"],
    ["a body without a type", "415 media_type", ["-H", "Content-Type:"], (right: string) => right],
    ["nothing", "415 media_type", [], null],
    ["an empty body", "422 csr_format", [], () => ""],
    ["PEM", "422 csr_format", [], (right: string) => `-----BEGIN CERTIFICATE REQUEST-----\n${right}-----END CERTIFICATE REQUEST-----\n`],
    ["base64url", "422 csr_format", [], (right: string) => right.replace(/[A-Za-z]/, "-")],
    ["two requests", "422 csr_format", [], (right: string) => right + right],
    ["a request cut short", "422 csr_format", [], (right: string) => right.slice(0, 64)],
    ["an octet string", "422 csr_format", [], () => Buffer.from("0402abcd", "hex").toString("base64")],
    ["a request over 8,192 bytes", "413 csr_size", [], () => Buffer.alloc(8_193, 0x30).toString("base64")],
    ["more than 16 kB", "413 request_size", [], () => "A".repeat(16 * 1024 + 1)],
    ["a request whose signature is wrong", "422 csr_signature", [], (right: string) => flipped(right)],
  ] as const) {
    it(`answers ${what} with ${expected}`, async () => {
      const one = await code();
      const right = readFileSync(join(scene.folder.path, request("bad")), "utf8");
      const credentials = ["-u", `x:${one.text}`];
      const answer =
        make === null
          ? await est("simpleenroll", "-X", "POST", ...credentials, ...args)
          : args.length > 0
            ? await est("simpleenroll", "--data-binary", `@${base(scene.folder.write("body", make(right)))}`, ...credentials, ...args)
            : await post("simpleenroll", base(scene.folder.write("body", make(right))), ...credentials);
      expect([told(answer), await scene.harness.used(one)]).to.deep.equal([expected, 0]);
    });
  }

  it("offers nothing under labels, and no other operation", async () => {
    for (const operation of ["label/cacerts", "label/simpleenroll", "serverkeygen", "fullcmc", "", "cacerts/"])
      expect(told(await est(operation))).to.equal("404 not_found");
    expect(
      told(await curl(scene.folder.path, "--cacert", "server.pem", `https://localhost:${scene.register.estPort}/v1/address`)),
    ).to.equal("404 not_found");
    expect(
      told(await curl(scene.folder.path, "--cacert", "server.pem", `https://localhost:${scene.register.port}/.well-known/est/cacerts`)),
    ).to.equal("404 not_found");
  });

  it("answers other methods with those that there are", async () => {
    for (const [operation, methods, allow] of [
      ["cacerts", ["POST", "PUT", "DELETE"], "GET, HEAD"],
      ["csrattrs", ["POST"], "GET, HEAD"],
      ["simpleenroll", ["GET", "HEAD", "PUT"], "POST"],
      ["simplereenroll", ["GET", "DELETE"], "POST"],
    ] as const) {
      for (const method of methods) {
        const answer = await est(operation, ...(method === "HEAD" ? ["-I"] : ["-X", method]));
        expect([answer.status, answer.headers.allow], `${method} ${operation}`).to.deep.equal([405, allow]);
      }
    }
    const head = await est("cacerts", "-I");
    expect([head.status, head.headers["content-type"]]).to.deep.equal([200, "application/pkcs7-mime; smime-type=certs-only"]);
  });

  it("tells 202 and when to come again while nobody decides, and the same request then gets its certificate", async () => {
    const one = await code();
    await scene.decideNothing();
    const waiting = await post("simpleenroll", request("later"), "-u", `x:${one.text}`);
    expect([waiting.status, waiting.headers["retry-after"], waiting.body.length]).to.deep.equal([202, "5", 0]);
    await scene.decide();
    await scene.harness.until(async () => (await scene.harness.used(one)) === 1);
    const answer = await post("simpleenroll", "later.b64", "-u", `x:${one.text}`);
    expect([told(answer), await scene.harness.used(one)]).to.deep.equal(["200", 1]);
    certificate(answer, "later");
  });

  it("keeps the code out of every log line and every file of Storage", async () => {
    const one = await code({}, 3);
    const forbidden = await code({ plainCode: false });
    const forged = forgedCode(one.selector);
    for (const text of [one.text, forbidden.text, forged]) await post("simpleenroll", request("secret"), "-u", `x:${text}`);
    await post("simpleenroll", base(scene.folder.write("body", one.text)), "-u", `x:${one.text}`);
    await est(`simpleenroll?code=${one.text.slice(0, 5)}`, "-u", `x:${one.text}`);
    await scene.harness.store.write((db) => all(db.deleteFrom("attempts")));
    const files = readdirSync(scene.harness.folder).map((name) => readFileSync(join(scene.harness.folder, name)).toString("latin1"));
    const pair = (text: string): string => Buffer.from(`x:${text}`).toString("base64");
    for (const text of [one.text, forbidden.text, forged]) {
      const secret = text.replaceAll("-", "").slice(8);
      for (const form of [text, secret, pair(text), text.slice(12)]) {
        expect(log.lines.join("\n")).to.not.contain(form);
        for (const content of files) expect(content).to.not.contain(form);
      }
    }
    expect(log.lines.length).to.be.greaterThan(0);
  });
});

/** The file's name, for who works in its folder. */
const base = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/** The last byte of the signature turned. */
function flipped(base64: string): string {
  const der = Buffer.from(base64, "base64");
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
  return der.toString("base64");
}

function forgedCode(selector: string): string {
  return withCheck(selector + "0123456789ABCDEFGHJKMNPQRS".slice(0, 26));
}
