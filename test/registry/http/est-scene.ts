import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { all } from "../../../registry/store/store.ts";
import { MemoryLog } from "../admin/control.ts";
import { opensslFolder } from "../ca/openssl.ts";
import { testAuthorities } from "../process/authorities.ts";
import { Harness, type TestCode } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";
import { type Curled, curl } from "./curl.ts";

export const LIFE_MS = 6 * 3_600_000;

/**
 * A register that speaks EST, for the tests of one `describe`, and a client made of curl and openssl in a folder of its own. What is
 * there only once they run is read from the scene, not taken out of it.
 */
export function estScene() {
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

  return {
    code,
    est,
    post,
    told,
    request,
    certificate,
    urnOf,
    enrolled,
    naming,
    as,
    fingerprint,
    state,
    devices,
    log,
    /** Until {@link decide} nobody does. */
    decideNothing: () => process[Symbol.asyncDispose](),
    async decide() {
      process = await harness.process([], authorities, log);
    },
    get harness() {
      return harness;
    },
    get register() {
      return register;
    },
    get folder() {
      return folder;
    },
    get authorities() {
      return authorities;
    },
    get root() {
      return root;
    },
  };
}
