import { chmodSync, renameSync, rmSync } from "node:fs";
import { createServer, request, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { METRICS_TYPE } from "../lib/metrics.ts";
import type { RaisedAlarm } from "./alarms.ts";
import { type AgentStateName, isHealthy } from "./lifecycle.ts";

/** What `entityos-agent status --json` prints. Times are integer ms of registry time unless said. */
export interface AgentStatus {
  readonly name: string;
  readonly zone: "open" | "restricted";
  readonly version: string;
  readonly pid: number;
  readonly state: AgentStateName;
  /** In kernel and on disk; null while nothing is. */
  readonly epoch: string | null;
  readonly revision: number;
  readonly digest: string | null;
  /** Rules held, and rules held back for being over this host's ceiling: too wide or too many. */
  readonly rules: number;
  readonly refused: number;
  /** Trust entries held: CAs, CRLs, certificates, bindings. */
  readonly trust: number;
  /** Of those, how many this host does not believe. */
  readonly trustRefused: number;
  /** Differences not yet in the kernel. */
  readonly pending: number;
  readonly alarms: readonly RaisedAlarm[];
  readonly lanes: Readonly<Record<string, boolean>>;
  readonly floor: boolean;
  readonly feed: {
    readonly connected: boolean;
    readonly address: string | null;
    /** Since a registry was heard that keeps this host up to date. */
    readonly silentMs: number;
    /** The registry's history lacks what is held here: it stays until an operator begins a new epoch. */
    readonly ahead: boolean;
    readonly unknownMessages: number;
  };
  /** The agent's own: its end, integer ms. */
  readonly certificate: { readonly notAfter: number };
  /** What the service's clients are shown, as it was last loaded; null where nothing of the agent's ends TLS. */
  readonly serviceCertificate: { readonly notAfter: number } | null;
  /** Sets that are never read back and compared, for their size (compare.upTo). */
  readonly notCompared: readonly string[];
  readonly lastApply: { readonly atMs: number; readonly tookMs: number; readonly changes: number } | null;
  readonly time: { readonly registryMs: number; readonly skewMs: number };
}

const MAX_STATUS_BYTES = 1 << 20;
const TIMEOUT_MS = 5_000;

/** Another agent answers on the socket: two may never drive one gate. */
export class AlreadyRunningError extends Error {}

/** The agent is there and has no status yet. */
export class StartingError extends Error {
  readonly code = "EAGAIN";
}

/** What the agent answers on its socket. */
export interface LocalAnswers {
  /** Null while it starts. */
  status(): AgentStatus | null;
  /** Text for Prometheus. */
  metrics?(): Promise<string>;
  /** Lets the next snapshot of that epoch take the place of what is held, whatever goes back by it. */
  accept?(epoch: string): void;
}

/** Epochs are printable ASCII without spaces. */
const EPOCH = /^[!-~]{1,64}$/;

/**
 * Serves the local operator (503 while the agent starts) on a root-only UNIX socket; holding it is also what makes this agent the only
 * one of its runtime folder.
 * @throws AlreadyRunningError when somebody answers there
 */
export async function serveStatus(path: string, answers: LocalAnswers): Promise<AsyncDisposable> {
  if (await isAnswered(path)) throw new AlreadyRunningError(`Another agent answers on ${path}`);
  const server = createServer((incoming, response) => {
    if (incoming.url === "/metrics" && incoming.method === "GET" && answers.metrics !== undefined) {
      void tellMetrics(answers.metrics, response);
      return;
    }
    const { code, body } = answerTo(`${incoming.method} ${incoming.url}`, answers);
    response.writeHead(code, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  });
  server.requestTimeout = TIMEOUT_MS;
  server.maxConnections = 32;
  await listenPrivately(server, path);
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(path, { force: true });
    },
  };
}

/** Bound under another name and renamed: the socket never stands there with a wider mode than 0600. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const unready = `${path}.${process.pid}`;
  rmSync(unready, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(unready, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  chmodSync(unready, 0o600);
  renameSync(unready, path);
}

async function tellMetrics(metrics: () => Promise<string>, response: ServerResponse): Promise<void> {
  try {
    const text = await metrics();
    response.writeHead(200, { "content-type": METRICS_TYPE }).end(text);
  } catch {
    response.writeHead(500).end();
  }
}

function answerTo(request: string, answers: LocalAnswers): { readonly code: number; readonly body: object } {
  const status = answers.status();
  if (request === "GET /status") return { code: status === null ? 503 : 200, body: status ?? {} };
  // The terminator asks, for its probe port.
  if (request === "GET /healthz") return { code: status !== null && isHealthy(status.state) ? 200 : 503, body: {} };
  // The epoch stands in the address, so that there is no body to be read and bounded.
  const epoch = /^POST \/accept\/(.+)$/.exec(request)?.[1];
  if (epoch === undefined) return { code: 404, body: {} };
  if (status === null || answers.accept === undefined) return { code: 503, body: {} };
  const decoded = percentDecoded(epoch);
  if (decoded === null || !EPOCH.test(decoded)) return { code: 422, body: {} };
  answers.accept(decoded);
  return { code: 200, body: { held: { epoch: status.epoch, revision: status.revision } } };
}

function percentDecoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Asks a running agent. @throws StartingError, or the socket's error (ENOENT, ECONNREFUSED, EACCES) when none answers */
export const queryStatus = (path: string): Promise<AgentStatus> => ask<AgentStatus>(path, "GET", "/status");

/** Tells a running agent to take the next snapshot of that epoch; resolves to what it holds until then. Errors as {@link queryStatus}. */
export const tellAccept = (path: string, epoch: string): Promise<{ readonly held: Pick<AgentStatus, "epoch" | "revision"> }> =>
  ask(path, "POST", `/accept/${encodeURIComponent(epoch)}`);

function ask<T>(socketPath: string, method: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const query = request({ socketPath, method, path, timeout: TIMEOUT_MS }, (response) => {
      if (response.statusCode === 422) {
        query.destroy(new Error("the agent refuses it: an epoch is 1 to 64 printable characters without spaces"));
        return;
      }
      if (response.statusCode !== 200) {
        query.destroy(new StartingError(`the agent answered ${response.statusCode}: it is still starting`));
        return;
      }
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
        if (text.length > MAX_STATUS_BYTES) query.destroy(new Error("the answer is too long"));
      });
      response.on("end", () => {
        try {
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error);
        }
      });
    });
    query.on("timeout", () => query.destroy(Object.assign(new Error("the agent does not answer"), { code: "ETIMEDOUT" })));
    query.on("error", reject);
    query.end();
  });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
