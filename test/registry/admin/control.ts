import { mkdtempSync, rmSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AgentFeed } from "../../../lib/admin/api.ts";
import type { Log } from "../../../lib/log.ts";
import { createMetrics } from "../../../lib/metrics.ts";
import { claimLocalDoor } from "../../../registry/admin/door.ts";
import { startAdmin } from "../../../registry/admin/start.ts";
import { openAuthorities } from "../../../registry/ca/authorities.ts";
import type { Issued } from "../../../registry/ca/authority.ts";
import { makeKeyAndCsr, parseCsrPem } from "../../../registry/ca/csr.ts";
import { makePki, serverCertificate } from "../../../registry/ca/files.ts";
import type { InfrastructureCa } from "../../../registry/ca/infrastructure.ts";
import { recordCertificate } from "../../../registry/ca/ledger.ts";
import { parseRegistryConfig } from "../../../registry/config.ts";
import type { ListenerFact } from "../../../registry/process/ca-alarms.ts";
import { ensureDefaultProfile } from "../../../registry/process/profiles.ts";
import { takeLead } from "../../../registry/store/queries.ts";
import { openSqliteStore } from "../../../registry/store/sqlite.ts";
import type { Lead, Store } from "../../../registry/store/store.ts";
import { freePort } from "../../lab/ports.ts";
import { openPki } from "../ca/open.ts";

export const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);

/** A log whose lines can be looked at. */
export class MemoryLog implements Log {
  readonly lines: string[] = [];
  #add(fields: object, message: string): void {
    const plain = (_: string, value: unknown) =>
      value instanceof Error ? { ...value, message: value.message, cause: value.cause } : value;
    this.lines.push(`${message} ${JSON.stringify(fields, plain)}`);
  }
  debug = (fields: object, message: string): void => this.#add(fields, message);
  info = (fields: object, message: string): void => this.#add(fields, message);
  warn = (fields: object, message: string): void => this.#add(fields, message);
  error = (fields: object, message: string): void => this.#add(fields, message);
}

export interface Identity {
  readonly key: string;
  readonly certificate: string;
}

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  // Tests read what they expect to be there.
  readonly body: Record<string, unknown>;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly raw?: string;
}

/** Control as it runs, over real sockets in a folder of its own, with Storage and CA, and a feed of which the test says what it knows. */
export class TestControl implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "eos-control-"));
  readonly log = new MemoryLog();
  readonly feeds: (AgentFeed & { readonly name: string })[] = [];
  readonly disconnected: string[] = [];
  listeners: ListenerFact[] = [];
  /** Agents that show a certificate of whatever CA is asked about. */
  showing: string[] = [];
  /** HTTP requests that reached control over TLS. */
  requests = 0;
  now = NOW;
  port = 0;
  readonly #stack = new AsyncDisposableStack();
  #parts: { store: Store; lead: Lead; ca: InfrastructureCa; socketPath: string } | null = null;

  static async start(): Promise<TestControl> {
    const control = new TestControl();
    try {
      await control.#start();
      return control;
    } catch (error) {
      await control[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.port = await freePort();
    const config = parseRegistryConfig(
      "test",
      JSON.stringify({
        name: "register.example",
        stateDir: this.folder,
        runtimeDir: join(this.folder, "run"),
        register: { address: "127.0.0.1", port: 9443, names: ["register.example"] },
        control: { address: "127.0.0.1", port: this.port, names: ["localhost", "127.0.0.1"] },
      }),
    );
    const door = this.#stack.use(await claimLocalDoor(config));
    // Certificates are valid by the system's clock, which TLS asks.
    await makePki(join(this.folder, "pki"), Date.now());
    const ca = openPki(join(this.folder, "pki"));
    const authorities = openAuthorities(join(this.folder, "pki"), "https://register.example");
    const tls = await serverCertificate(join(this.folder, "pki"), "control", config.control.names, ca, Date.now());
    const clock = { now: () => this.now, monotonic: () => this.now };
    const store = this.#stack.use(await openSqliteStore({ file: join(this.folder, "registry.sqlite"), log: this.log }));
    const lead = await takeLead(store, NOW);
    await store.write((db) => ensureDefaultProfile(db, lead, { now: NOW }));
    const feed = {
      agents: () => this.feeds,
      showing: () => this.showing,
      spread: () => null,
      disconnect: (name: string) => void this.disconnected.push(name),
      async [Symbol.asyncDispose]() {},
    };
    const startFeed = async (server: { on(event: "request", listener: () => void): unknown }) => {
      server.on("request", () => this.requests++);
      return feed;
    };
    const metrics = createMetrics({ process: false });
    this.#stack.use(
      await startAdmin({
        door,
        config,
        store,
        lead,
        ca,
        authorities,
        listeners: () => this.listeners,
        metrics,
        clock,
        log: this.log,
        tls,
        startFeed,
      }),
    );
    this.#parts = { store, lead, ca, socketPath: door.path };
  }

  get #started() {
    if (this.#parts === null) throw new Error("not started");
    return this.#parts;
  }
  get store(): Store {
    return this.#started.store;
  }
  get lead(): Lead {
    return this.#started.lead;
  }
  get ca(): InfrastructureCa {
    return this.#started.ca;
  }
  get socketPath(): string {
    return this.#started.socketPath;
  }

  /** A key and a certificate of the infrastructure CA, with its chain, noted in Storage. */
  async identity(kind: "operator" | "metrics" | "agent" | "server", name: string): Promise<Identity & { readonly issued: Issued }> {
    const { key, csr } = await makeKeyAndCsr(null);
    const request = parseCsrPem(csr);
    const issue = {
      operator: this.ca.issueOperator,
      metrics: this.ca.issueMetrics,
      agent: this.ca.issueAgent,
      server: (r: typeof request, n: string, now: number) => this.ca.issueServer(r, [n], now),
    };
    const issued = await issue[kind](request, name, Date.now());
    await this.store.write((db) => recordCertificate(db, issued));
    return { key, certificate: issued.pem + this.ca.chain, issued };
  }

  /** Over the local socket, as an operator's program asks. */
  local(path: string, ask: Ask = {}): Promise<Reply> {
    return exchange((options, answer) => plainRequest({ ...options, socketPath: this.socketPath }, answer), path, ask);
  }

  /** What is no JSON: over the local socket, or as somebody. */
  async text(path: string, identity: Identity | null = null): Promise<string> {
    return (identity === null ? await this.local(path) : await this.remote(path, identity)).text;
  }

  /** Over mutual TLS; rejects when the connection ends without an answer. */
  remote(path: string, identity: Identity | null, ask: Ask = {}): Promise<Reply> {
    const client = identity === null ? {} : { key: identity.key, cert: identity.certificate };
    const target = { host: "127.0.0.1", port: this.port, ca: this.ca.root, servername: "localhost", agent: false as const, ...client };
    return exchange((options, answer) => tlsRequest({ ...options, ...target }, answer), path, ask);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

type Open = (options: object, answer: (message: import("node:http").IncomingMessage) => void) => import("node:http").ClientRequest;

async function exchange(open: Open, path: string, { method = "GET", headers = {}, body, raw }: Ask): Promise<Reply> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const content = payload === undefined ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(payload)) };
  const own = method === "GET" ? {} : { "entityos-request": "1" };
  return new Promise((resolve, reject) => {
    const request = open(
      { path, method, headers: { host: "localhost", connection: "close", ...content, ...own, ...headers } },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          resolve({
            status: answer.statusCode ?? 0,
            type: answer.headers["content-type"] ?? "",
            text,
            body: /json/.test(answer.headers["content-type"] ?? "") ? JSON.parse(text) : {},
          });
        });
      },
    );
    request.on("error", reject);
    request.setTimeout(20_000, () => request.destroy(new Error("no answer within 20 s")));
    request.end(payload);
  });
}
