import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createServer as createTlsServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import type { Io } from "../../../registry/cli/io.ts";
import { runCli } from "../../../registry/cli/run.ts";
import { parseRegistryConfig } from "../../../registry/config.ts";
import { initialise } from "../../../registry/init.ts";
import { type Serving, serve } from "../../../registry/serve.ts";
import { freePort } from "../../lab/ports.ts";
import { MemoryLog } from "../admin/control.ts";

export interface Ran {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

export interface Around {
  /** Standard input. */
  readonly input?: string;
  /** What is typed on the terminal; without it there is none. */
  readonly typed?: string;
  readonly now?: () => number;
}

/** Runs a command line as `entityos` does, with a world of the test's making. Waiting takes no time. */
export async function cli(args: readonly string[], { input = "", typed, now = () => Date.now() }: Around = {}): Promise<Ran> {
  let [out, err] = ["", ""];
  const io: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    now,
    sleep: () => new Promise((resolve) => setImmediate(resolve)),
    readInput: async () => input,
    askSecret: async () => typed ?? null,
  };
  const exit = await runCli(args, io);
  return { exit, out, err };
}

/** The whole registry in this process, over real sockets, in a folder of its own. */
export class TestRegistry implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "eos-cli-"));
  readonly log = new MemoryLog();
  port = 0;
  controlPort = 0;
  #serving: Serving | null = null;

  static async start(): Promise<TestRegistry> {
    const registry = new TestRegistry();
    try {
      [registry.port, registry.controlPort] = [await freePort(), await freePort()];
      await initialise(registry.#config, systemClock, registry.log);
      await registry.serve();
      return registry;
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #config() {
    return parseRegistryConfig(
      "test",
      JSON.stringify({
        name: "register.example",
        stateDir: join(this.folder, "state"),
        runtimeDir: join(this.folder, "run"),
        register: { address: "::", port: this.port, names: ["localhost", "127.0.0.1", "::1"] },
        control: { address: "127.0.0.1", port: this.controlPort, names: ["localhost"] },
        allowNetworks: ["127.0.0.0/8", "203.0.113.0/24", "::1/128"],
      }),
    );
  }

  async serve(): Promise<void> {
    this.#serving = await serve(this.#config, systemClock, this.log);
  }
  async stop(): Promise<void> {
    await this.#serving?.[Symbol.asyncDispose]();
    this.#serving = null;
  }

  get ca(): string {
    return join(this.folder, "state/pki/root.crt");
  }
  get url(): string {
    return `https://localhost:${this.port}`;
  }
  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** An operator's command over the local socket. */
  operator(...args: string[]): Promise<Ran> {
    return cli([...args, "--socket", this.path("run/control.sock")]);
  }
  async json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
    const { out } = await this.operator(...args, "--json");
    return JSON.parse(out) as T;
  }
  /** A new code's text. */
  async code(...more: string[]): Promise<string> {
    return (await this.json<{ code: string }>("code", "create", "--subject", "alice", "--profile", "desktop", ...more)).code;
  }
  /** An HTTPS server with register's certificate that answers as the test says. */
  async answering(handler: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
    const tls = { key: readFileSync(this.path("state/pki/register.key")), cert: readFileSync(this.path("state/pki/register.crt")) };
    const server = createTlsServer(tls, handler);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
      url: `https://localhost:${(server.address() as AddressInfo).port}`,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }
  /** Hands requests on to the registry; with `lose` the answer is dropped, as by a process that dies before it comes. */
  async handingOn(): Promise<AsyncDisposable & { readonly url: string; lose: boolean; readonly bodies: readonly string[] }> {
    const bodies: string[] = [];
    const server = await this.answering((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        const { lose } = proxy;
        bodies.push(Buffer.concat(chunks).toString());
        const { url: path, method, headers } = incoming;
        const onward = request({ host: "localhost", port: this.port, ca: readFileSync(this.ca), path, method, headers }, (answer) => {
          if (!lose) response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.on("data", (chunk: Buffer) => lose || response.write(chunk));
          answer.on("end", () => (lose ? incoming.socket.destroy() : response.end()));
        });
        onward.end(Buffer.concat(chunks));
      });
    });
    const proxy = { url: server.url, lose: false, bodies, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
    return proxy;
  }
  /** `entityos enroll` as a device runs it. */
  enroll(state: string, code: string, ...more: string[]): Promise<Ran> {
    const args = [
      "--url",
      this.url,
      "--registry",
      "register.example",
      "--ca",
      this.ca,
      "--state",
      this.path(state),
      "--code-file",
      "-",
      ...more,
    ];
    return cli(["enroll", ...args], { input: `${code}\n` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
