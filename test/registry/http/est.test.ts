import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { generateCode } from "../../../lib/registration/code.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { all } from "../../../registry/store/store.ts";
import { MemoryLog } from "../admin/control.ts";
import { opensslFolder } from "../ca/openssl.ts";
import { testAuthorities } from "../process/authorities.ts";
import { Harness, type TestCode } from "../process/harness.ts";
import { withCheck } from "./check-character.ts";
import { RegisterUnderTest } from "./client.ts";
import { type Curled, curl } from "./curl.ts";

const LIFE_MS = 6 * 3_600_000;

describe("EST", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  let folder: ReturnType<typeof opensslFolder>;
  let authorities: Awaited<ReturnType<typeof testAuthorities>>;
  let root: string;
  const log = new MemoryLog();
  before(async () => {
    folder = opensslFolder();
    harness = await Harness.open();
    authorities = await testAuthorities();
    root = authorities.all.find(({ role }) => role === "root")?.certificate ?? "";
    folder.write("root.pem", root);
    process = await harness.process([], authorities, log);
    register = await RegisterUnderTest.start(harness, { wrongProofsPerSigner: 3 }, log);
    folder.write("server.pem", register.ca);
  });
  after(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const code = (settings: Parameters<Harness["code"]>[0] = {}, uses = 9): Promise<TestCode> =>
    harness.code(
      { pattern: "cert", plainCode: true, reenroll: true, certificateLifetimeMs: LIFE_MS, ...settings },
      { uses, profile: `p${number++}` },
    );
  let number = 0;
  const est = (operation: string, ...args: string[]): Promise<Curled> =>
    curl(folder.path, "--cacert", "server.pem", ...args, `https://localhost:${register.estPort}/.well-known/est/${operation}`);
  const post = (operation: string, file: string, ...args: string[]): Promise<Curled> =>
    est(operation, "--data-binary", `@${file}`, "-H", "Content-Type: application/pkcs10", ...args);
  const told = ({ status, body, headers }: Curled): string =>
    `${status} ${headers["content-type"] === "application/problem+json" ? String(JSON.parse(body.toString()).code) : ""}`.trim();

  /** A key and a request for it, as the RFC's examples make them: NAME.key, NAME.b64. */
  const request = (name: string, ...more: string[]): string => {
    const subject = more.length > 0 ? more : ["-subj", "/CN=whatever"];
    folder.run(
      "req",
      "-new",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-noenc",
      "-keyout",
      `${name}.key`,
      ...subject,
      "-outform",
      "DER",
      "-out",
      `${name}.der`,
    );
    folder.run("base64", "-in", `${name}.der`, "-out", `${name}.b64`);
    return `${name}.b64`;
  };
  /** The one certificate of an answer: NAME.pem. */
  const certificate = ({ body }: Curled, name: string): X509Certificate => {
    folder.write(`${name}.p7.b64`, body);
    folder.run("base64", "-d", "-in", `${name}.p7.b64`, "-out", `${name}.p7`);
    const text = folder.run("pkcs7", "-inform", "DER", "-in", `${name}.p7`, "-print_certs").toString();
    const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    expect(found).to.have.length(1);
    folder.write(`${name}.pem`, `${found[0]}\n`);
    return new X509Certificate(found[0] ?? "");
  };
  const urnOf = ({ subject }: X509Certificate): string => subject.replace("CN=", "");
  /** A device enrolled by EST: NAME.key, NAME.pem. @returns its URN */
  const enrolled = async (name: string, settings: Parameters<Harness["code"]>[0] = {}): Promise<string> => {
    const answer = await post("simpleenroll", request(name), "-u", `any:${(await code(settings)).text}`);
    expect(told(answer)).to.equal("200");
    return urnOf(certificate(answer, name));
  };
  const naming = (urn: string): string[] => ["-subj", `/CN=${urn}`, "-addext", `subjectAltName=URI:${urn}`];
  const as = (name: string): string[] => ["--cert", `${name}.pem`, "--key", `${name}.key`];
  const fingerprint = (name: string): string =>
    new X509Certificate(readFileSync(join(folder.path, `${name}.pem`))).fingerprint256.replaceAll(":", "").toLowerCase();
  const state = async (name: string) =>
    (await harness.rows((db) => all(db.selectFrom("certificates").select("state").where("fingerprint", "=", fingerprint(name)))))[0]?.state;
  const devices = async (): Promise<number> => (await harness.rows((db) => all(db.selectFrom("devices").select("id")))).length;

  it("gives its CAs to whoever asks, as openssl pkcs7 reads them", async () => {
    const { status, headers, body } = await est("cacerts");
    expect([status, headers["content-type"], headers["content-transfer-encoding"], headers["cache-control"]]).to.deep.equal([
      200,
      "application/pkcs7-mime; smime-type=certs-only",
      "base64",
      "no-store",
    ]);
    folder.write("cacerts.b64", body);
    folder.run("base64", "-d", "-in", "cacerts.b64", "-out", "cacerts.p7");
    const text = folder.run("pkcs7", "-inform", "DER", "-in", "cacerts.p7", "-print_certs").toString();
    expect(text.match(/^subject=.*$/gm)?.map((line) => line.replace(/ [0-9a-f]{8}$/, ""))).to.deep.equal([
      "subject=CN = entityOS device CA",
      "subject=CN = entityOS root",
    ]);
    expect(text).to.contain(root.trim());
    folder.run("cms", "-inform", "DER", "-in", "cacerts.p7", "-cmsout", "-noout");
  });

  it("says what a request should look like: P-256 and SHA-256", async () => {
    const { status, headers, body } = await est("csrattrs");
    expect([status, headers["content-type"], headers["content-transfer-encoding"]]).to.deep.equal([200, "application/csrattrs", "base64"]);
    folder.write("attributes.b64", body);
    folder.run("base64", "-d", "-in", "attributes.b64", "-out", "attributes.der");
    const lines = folder
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
    folder.write(
      "chain.pem",
      (await harness.rows((db) => all(db.selectFrom("trust").select("body").where("id", "like", "device-%"))))[0]?.body ?? "",
    );
    folder.run("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "chain.pem", "first.pem");
    expect(own.checkIssued(new X509Certificate(readFileSync(join(folder.path, "chain.pem"))))).to.equal(true);
    expect(folder.run("x509", "-in", "first.pem", "-noout", "-pubkey").toString()).to.equal(
      folder.run("pkey", "-in", "first.key", "-pubout").toString(),
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
      const body = broken(readFileSync(join(folder.path, "lines.der")).toString("base64"));
      expect(told(await post("simpleenroll", base(folder.write("body", body)), "-u", `:${typed}`))).to.equal("200");
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
    expect([await devices(), await harness.used(one)]).to.deep.equal([before + 2, 2]);
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
    const [right, other] = [await code(), await harness.code({}, { profile: "unrelated" })];
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
    expect(await harness.used(other)).to.equal(0);
    await harness.store.write((db) => all(db.deleteFrom("attempts")));
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
      expect(await harness.used(one)).to.equal(expected === "200" ? 1 : 0);
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
      const right = readFileSync(join(folder.path, request("bad")), "utf8");
      const credentials = ["-u", `x:${one.text}`];
      const answer =
        make === null
          ? await est("simpleenroll", "-X", "POST", ...credentials, ...args)
          : args.length > 0
            ? await est("simpleenroll", "--data-binary", `@${base(folder.write("body", make(right)))}`, ...credentials, ...args)
            : await post("simpleenroll", base(folder.write("body", make(right))), ...credentials);
      expect([told(answer), await harness.used(one)]).to.deep.equal([expected, 0]);
    });
  }

  it("offers nothing under labels, and no other operation", async () => {
    for (const operation of ["label/cacerts", "label/simpleenroll", "serverkeygen", "fullcmc", "", "cacerts/"])
      expect(told(await est(operation))).to.equal("404 not_found");
    expect(told(await curl(folder.path, "--cacert", "server.pem", `https://localhost:${register.estPort}/v1/address`))).to.equal(
      "404 not_found",
    );
    expect(told(await curl(folder.path, "--cacert", "server.pem", `https://localhost:${register.port}/.well-known/est/cacerts`))).to.equal(
      "404 not_found",
    );
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
    await process[Symbol.asyncDispose]();
    const waiting = await post("simpleenroll", request("later"), "-u", `x:${one.text}`);
    expect([waiting.status, waiting.headers["retry-after"], waiting.body.length]).to.deep.equal([202, "5", 0]);
    process = await harness.process([], authorities, log);
    await harness.until(async () => (await harness.used(one)) === 1);
    const answer = await post("simpleenroll", "later.b64", "-u", `x:${one.text}`);
    expect([told(answer), await harness.used(one)]).to.deep.equal(["200", 1]);
    certificate(answer, "later");
  });

  describe("simplereenroll", () => {
    it("gives a device that shows its certificate the next one, for a new key, and leaves the rest of it alone", async () => {
      const urn = await enrolled("device");
      const before = await devices();
      const answer = await post("simplereenroll", request("next", ...naming(urn)), ...as("device"));
      expect([told(answer), answer.headers["content-type"]]).to.deep.equal(["200", "application/pkcs7-mime; smime-type=certs-only"]);
      const next = certificate(answer, "next");
      expect([urnOf(next), await devices()]).to.deep.equal([urn, before]);
      expect(next.validToDate.getTime() - next.validFromDate.getTime()).to.equal(LIFE_MS + 60_000);
      folder.run(
        "verify",
        "-x509_strict",
        "-purpose",
        "sslclient",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "chain.pem",
        "-partial_chain",
        "device.pem",
      );
      expect([await state("device"), await state("next")]).to.deep.equal(["live", "live"]);
      const [row] = await harness.rows((db) =>
        all(db.selectFrom("audit").select(["actor", "detail"]).where("action", "=", "device.reenrolled")),
      );
      expect([row?.actor, JSON.parse(row?.detail ?? "{}").shown]).to.deep.equal([
        `device:${urn.slice("urn:entityos:device:".length)}`,
        fingerprint("device"),
      ]);
      expect((await post("simplereenroll", "next.b64", ...as("device"))).body.equals(answer.body)).to.equal(true);
      expect(told(await post("simplereenroll", request("after", ...naming(urn)), ...as("next")))).to.equal("200");
    });

    it("takes a request for the same key too", async () => {
      const urn = await enrolled("kept");
      folder.run("req", "-new", "-key", "kept.key", ...naming(urn), "-outform", "DER", "-out", "same.der");
      folder.run("base64", "-in", "same.der", "-out", "same.b64");
      expect(told(await post("simplereenroll", "same.b64", ...as("kept")))).to.equal("200");
    });

    it("wants subject and names as the certificate has them", async () => {
      const urn = await enrolled("named");
      const other = urn.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
      for (const [what, args] of [
        ["no names", ["-subj", `/CN=${urn}`]],
        ["no subject", ["-subj", "/", "-addext", `subjectAltName=URI:${urn}`]],
        ["another subject", ["-subj", `/CN=${other}`, "-addext", `subjectAltName=URI:${urn}`]],
        ["another name", ["-subj", `/CN=${urn}`, "-addext", `subjectAltName=URI:${other}`]],
        ["one name more", ["-subj", `/CN=${urn}`, "-addext", `subjectAltName=URI:${urn},DNS:app.example`]],
        ["more subject", ["-subj", `/O=x/CN=${urn}`, "-addext", `subjectAltName=URI:${urn}`]],
      ] as const) {
        expect(told(await post("simplereenroll", request("names", ...args), ...as("named"))), what).to.equal("422 csr_subject");
      }
    });

    it("takes no certificate of others: none, a stranger's, a revoked one, with one answer for all", async () => {
      const urn = await enrolled("gone");
      const right = request("of-gone", ...naming(urn));
      folder.run(
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-keyout",
        "stranger.key",
        "-out",
        "stranger.pem",
        ...naming(urn),
      );
      await harness.store.write((db) =>
        revokeDevice(db, harness.lead, { device: urn.slice("urn:entityos:device:".length), now: harness.clock.now(), actor: "test" }),
      );
      const answers = [
        await post("simplereenroll", right),
        await post("simplereenroll", right, "-u", `x:${(await code()).text}`),
        await post("simplereenroll", right, ...as("stranger")),
        await post("simplereenroll", right, ...as("gone")),
      ];
      expect(answers.map(told)).to.deep.equal(Array(4).fill("403 client_certificate"));
      expect(new Set(answers.map(({ body }) => body.toString())).size).to.equal(1);
    });

    it("is refused by a profile that wants a proof", async () => {
      const urn = await enrolled("strict", { reenroll: false });
      expect(told(await post("simplereenroll", request("strict-next", ...naming(urn)), ...as("strict")))).to.equal("403 reenroll_refused");
      expect(await state("strict")).to.equal("live");
    });
  });

  it("keeps the code out of every log line and every file of Storage", async () => {
    const one = await code({}, 3);
    const forbidden = await code({ plainCode: false });
    const forged = forgedCode(one.selector);
    for (const text of [one.text, forbidden.text, forged]) await post("simpleenroll", request("secret"), "-u", `x:${text}`);
    await post("simpleenroll", base(folder.write("body", one.text)), "-u", `x:${one.text}`);
    await est(`simpleenroll?code=${one.text.slice(0, 5)}`, "-u", `x:${one.text}`);
    await harness.store.write((db) => all(db.deleteFrom("attempts")));
    const files = readdirSync(harness.folder).map((name) => readFileSync(join(harness.folder, name)).toString("latin1"));
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
