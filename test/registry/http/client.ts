import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Log, silentLog } from "../../../lib/log.ts";
import { csrDigest, csrFromPem } from "../../../lib/registration/csr.ts";
import { type Submission, signSubmission } from "../../../lib/registration/submission.ts";
import { makePki, serverCertificate } from "../../../registry/ca/files.ts";
import { parseRegistryConfig, type RegistryConfig } from "../../../registry/config.ts";
import { startRegister } from "../../../registry/http/server.ts";
import { openPki } from "../ca/open.ts";
import { type Harness, REGISTRY, SEALING, type TestCode, unsigned } from "../process/harness.ts";

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  readonly bytes: Buffer;
  readonly body: Record<string, unknown>;
}

/** The register role over a harness's Storage, on loopback, and a client that trusts its root. */
export class RegisterUnderTest implements AsyncDisposable {
  readonly port: number;
  readonly estPort: number;
  readonly ca: string;
  readonly #agent: Agent;
  readonly #harness: Harness;
  readonly #server: Awaited<ReturnType<typeof startRegister>>;

  private constructor(server: Awaited<ReturnType<typeof startRegister>>, ca: string, harness: Harness) {
    this.port = server.port;
    this.estPort = server.estPort ?? 0;
    this.ca = ca;
    this.#server = server;
    this.#harness = harness;
    this.#agent = new Agent({ ca, keepAlive: true });
  }

  static async start(
    harness: Harness,
    change: Partial<RegistryConfig["limits"]> = {},
    log: Log = silentLog,
    proxies: string[] = [],
  ): Promise<RegisterUnderTest> {
    const { ca, key, cert } = await serverPki();
    const limits = { ...parseRegistryConfig("test", "name: r").limits, registrationsPerMinute: 1_000, ...change };
    const config = {
      name: REGISTRY,
      register: { address: "::", port: 0, names: ["localhost"], proxies, est: { port: 0, names: [] } },
      limits,
    };
    const { store, clock, proofs } = harness;
    return new RegisterUnderTest(
      await startRegister({
        config,
        store,
        tls: { key, cert },
        root: () => ca,
        sealing: SEALING.publicKey,
        proofs,
        onRefused: () => {},
        clock,
        log,
      }),
      ca,
      harness,
    );
  }

  send(method: string, path: string, options: { headers?: Record<string, string>; body?: string; host?: string } = {}): Promise<Answer> {
    const { headers = {}, body, host = "127.0.0.1" } = options;
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const all = { ...(body === undefined ? {} : { "content-type": "application/json" }), ...length, ...headers };
    return new Promise((resolve, reject) => {
      const sent = request(
        { host, port: this.port, method, path, agent: this.#agent, servername: "localhost", headers: all },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            const bytes = Buffer.concat(chunks);
            const text = bytes.toString();
            const json = text !== "" && /json/.test(response.headers["content-type"] ?? "");
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text, bytes, body: json ? JSON.parse(text) : {} });
          });
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  }

  useTls(tls: { readonly key: string; readonly cert: string }): void {
    this.#server.useTls(tls);
  }

  /** A right body for a code. */
  body(code: TestCode, change: Partial<Submission> = {}, csr?: string): Record<string, unknown> {
    const digest = csr === undefined ? null : csrDigest(csrFromPem(csr));
    const submission = unsigned(code, this.#harness.clock.now(), { csrDigest: digest, ...change });
    const { nonce, time, addresses, deviceKey } = submission;
    const proof = { nonce, time, signature: signSubmission(submission, code.privateKey) };
    return {
      selector: code.selector,
      proof,
      addresses,
      ...(deviceKey === null ? {} : { deviceKey }),
      ...(csr === undefined ? {} : { csr }),
    };
  }

  post(body: unknown, headers: Record<string, string> = {}, host?: string): Promise<Answer> {
    return this.send("POST", "/v1/registrations", { body: JSON.stringify(body), headers, ...(host === undefined ? {} : { host }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.#server[Symbol.asyncDispose]();
  }
}

let made: Promise<{ ca: string; key: string; cert: string }> | null = null;

/** Root, and key and certificate of a server called localhost: made once. */
export function serverPki(): Promise<{ ca: string; key: string; cert: string }> {
  made ??= makeOnce();
  return made;
}

async function makeOnce(): Promise<{ ca: string; key: string; cert: string }> {
  const folder = mkdtempSync(join(tmpdir(), "entityos-pki-"));
  try {
    await makePki(folder, Date.now());
    const ca = openPki(folder);
    const { key, certificate } = await serverCertificate(folder, "register", ["localhost"], ca, Date.now());
    return { ca: ca.root, key, cert: certificate };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
