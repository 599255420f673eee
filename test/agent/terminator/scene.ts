import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type Server } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type AgentConfig, parseAgentConfig } from "../../../agent/config.ts";
import { DesiredState } from "../../../agent/desired.ts";
import type { Flow } from "../../../agent/target.ts";
import { HaproxyTarget } from "../../../agent/terminator/haproxy.ts";
import type { TerminatorKind } from "../../../agent/terminator/layout.ts";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { createMaster } from "../../../agent/terminator/master.ts";
import { NginxTarget } from "../../../agent/terminator/nginx.ts";
import { servingNginx } from "../../../agent/terminator/nginx-master.ts";
import type { Terminator } from "../../../agent/terminator/settings.ts";
import { silentLog } from "../../../lib/log.ts";
import type { Lane } from "../../../lib/service.ts";
import { waitFor } from "../../lab/wait.ts";
import { type ClientCertificate, makeTestPki, type Pki } from "./pki.ts";

/** What each test of the terminator runs with. */
export const TERMINATORS: readonly TerminatorKind[] = ["haproxy", "nginx"];

/** A real HAProxy or nginx in front of an application, on the loopback interface, with the target that drives it. */
export interface TerminatorScene extends AsyncDisposable {
  readonly pki: Pki;
  readonly config: AgentConfig;
  readonly ports: Readonly<Record<Lane, number>>;
  readonly target: Terminator;
  readonly desired: DesiredState;
  /** Flows that were cut. */
  readonly cut: Flow[];
  /** Every request that reached the application: its raw headers. */
  readonly seen: readonly (readonly string[])[];
  /** Trailers that reached the application. */
  readonly trailers: readonly string[];
  /** Brings changes of the desired state to the target, as the reconciler does. */
  apply(): Promise<void>;
  register(certificate: ClientCertificate, device: string, pattern: string, subject?: string): Promise<void>;
  revoke(certificate: ClientCertificate): Promise<void>;
  startTerminator(): Promise<void>;
  /** Ends the terminator's processes by SIGKILL. */
  killTerminator(): Promise<void>;
  /** Process ids of the workers that take new connections. */
  workers(): Promise<number[]>;
  /** Process ids of those that were replaced and let requests end. */
  replacedWorkers(): Promise<number[]>;
}

export interface SceneOptions {
  /** HAProxy when left out. */
  readonly kind?: TerminatorKind;
  readonly lanes?: Partial<Record<Lane, boolean>>;
  readonly terminator?: Readonly<Record<string, unknown>>;
  readonly pki?: Pki;
}

export async function makeTerminatorScene({
  kind = "haproxy",
  lanes = {},
  terminator = {},
  pki: given,
}: SceneOptions = {}): Promise<TerminatorScene> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "eos-terminator-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const pki = given ?? (await makeTestPki());
  const [ip = 0, ipcert = 0, roaming = 0, probe = 0] = await freePorts(4);
  const config = sceneConfig(folder, { ip, ipcert, roaming }, probe, lanes, { kind, ...terminator });
  writeFileSync(join(folder, "root.pem"), pki.root);
  writeFileSync(join(folder, "service.crt"), pki.service.certificate);
  writeFileSync(join(folder, "service.key"), pki.service.key, { mode: 0o600 });
  const seen: string[][] = [];
  const trailers: string[] = [];
  const application = stack.use(await startApplication(config.terminator.application, seen, trailers));
  const desired = new DesiredState();
  const cut: Flow[] = [];
  const ending = new AbortController();
  const { signal } = ending;
  const options = {
    config,
    log: silentLog,
    signal,
    cut: async (flows: readonly Flow[]) => void cut.push(...flows),
    fetchCrl: async () => {
      throw new Error("no CRL is too large here");
    },
  };
  const target = kind === "haproxy" ? new HaproxyTarget(options) : await NginxTarget.start({ ...options, now: Date.now, crlReloadMs: 50 });
  stack.use(target);
  stack.defer(() => ending.abort(new Error("the scene ends")));
  for (const [id, body] of [
    [pki.rootId, pki.root],
    [pki.deviceCaId, pki.deviceCa],
  ] as const)
    desired.change({ kind: "trust.set", target: "ca", id, body });
  desired.change({ kind: "trust.set", target: "crl", id: pki.rootId, body: await pki.crl("root", 1) });
  desired.change({ kind: "trust.set", target: "crl", id: pki.deviceCaId, body: await pki.crl("device", 1) });
  await target.resync(desired, signal);
  desired.acknowledgeAll();
  const processes = kind === "haproxy" ? new Haproxy(config) : new Nginx(config);
  stack.defer(() => processes.kill());
  await processes.start();
  const apply = async (): Promise<void> => {
    const pending = desired.pending();
    await target.apply(desired, pending, signal);
    desired.acknowledge(pending);
  };
  const held = stack.move();
  void application;
  return {
    pki,
    config,
    ports: { ip, ipcert, roaming },
    target,
    desired,
    cut,
    seen,
    trailers,
    apply,
    register: async ({ fingerprint, serial, notAfter }, device, pattern, subject = "alice") => {
      const body = JSON.stringify({ device, pattern, subject, serial, issuer: pki.deviceCaId, notAfter });
      desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
      await apply();
    },
    revoke: async ({ fingerprint }) => {
      desired.change({ kind: "trust.remove", target: "certificate", id: fingerprint });
      await apply();
    },
    startTerminator: () => processes.start(),
    killTerminator: () => processes.kill(),
    workers: () => processes.workers(),
    replacedWorkers: () => processes.replacedWorkers(),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function sceneConfig(
  folder: string,
  listeners: Readonly<Record<Lane, number>>,
  probePort: number,
  lanes: Partial<Record<Lane, boolean>>,
  terminator: Readonly<Record<string, unknown>>,
): AgentConfig {
  const [stateDir, runtimeDir] = [join(folder, "state"), join(folder, "run")];
  for (const path of [stateDir, runtimeDir]) mkdirSync(path, { mode: 0o700 });
  return parseAgentConfig(
    "agent.yaml",
    JSON.stringify({
      name: "host-1",
      registry: { addresses: ["https://control.example"], ca: join(folder, "root.pem"), certificate: "unused", key: "unused" },
      stateDir,
      runtimeDir,
      gate: {
        listeners,
        lanes: { ip: true, ipcert: true, roaming: true, ...lanes },
        probe: { port: probePort, networks: ["127.0.0.0/8"] },
      },
      terminator: {
        certificate: join(folder, "service.crt"),
        application: join(folder, "application.sock"),
        masterSocket: join(folder, "master.sock"),
        maxConnections: 200,
        ...terminator,
      },
    }),
  );
}

/** HAProxy as its unit runs it. */
export class Haproxy {
  readonly #config: AgentConfig;
  readonly #within: readonly string[];
  #child: ChildProcess | null = null;

  /** @param within command and arguments that it is run through, none by default */
  constructor(config: AgentConfig, within: readonly string[] = []) {
    this.#config = config;
    this.#within = within;
  }

  async start(): Promise<void> {
    const { terminator, stateDir } = this.#config;
    const [program = "", ...words] = [
      ...this.#within,
      "haproxy",
      "-W",
      "-S",
      `${terminator.masterSocket},mode,600`,
      "-f",
      join(currentLink(stateDir), "haproxy.cfg"),
    ];
    rmSync(terminator.masterSocket, { force: true });
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    this.#child = child;
    const master = createMaster(terminator.masterSocket);
    await waitFor(`HAProxy to serve; it says ${output}`, async () => {
      if (child.exitCode !== null) throw new Error(`HAProxy ended: ${output}`);
      if (!existsSync(terminator.masterSocket)) return undefined;
      const answer = await master.command("show proc", { signal: AbortSignal.timeout(1_000) }).catch(() => "");
      return /^\d+\s+worker/m.test(answer) || undefined;
    });
  }

  workers(): Promise<number[]> {
    return this.#listed("workers");
  }

  replacedWorkers(): Promise<number[]> {
    return this.#listed("old workers");
  }

  async #listed(section: "workers" | "old workers"): Promise<number[]> {
    const master = createMaster(this.#config.terminator.masterSocket);
    const answer = await master.command("show proc", { signal: AbortSignal.timeout(2_000) });
    return readWorkerIds(answer.split(`# ${section}\n`)[1]?.split("\n# ")[0] ?? "");
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const master = createMaster(this.#config.terminator.masterSocket);
    const answer = await master.command("show proc", { signal: AbortSignal.timeout(2_000) }).catch(() => "");
    const workers = readWorkerIds(answer);
    const closed = child.exitCode === null && child.signalCode === null ? once(child, "close") : Promise.resolve();
    for (const pid of [child.pid ?? 0, ...workers]) if (pid > 0) endProcess(pid);
    await closed;
  }
}

const readWorkerIds = (answer: string): number[] => [...answer.matchAll(/^(\d+)\s+worker/gm)].map(([, pid]) => Number(pid));

class Nginx {
  readonly #config: AgentConfig;
  #child: ChildProcess | null = null;

  constructor(config: AgentConfig) {
    this.#config = config;
  }

  async start(): Promise<void> {
    const { stateDir } = this.#config;
    // Workers of a master that is root are nobody's by default, who may not ask the agent.
    const words = ["-e", "stderr", "-g", "user root;", "-c", join(currentLink(stateDir), "nginx.conf")];
    const child = spawn("nginx", words, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    this.#child = child;
    await waitFor(`nginx to serve; it says ${output}`, async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended: ${output}`);
      const workers = servingNginx(stateDir).some(({ pid }) => pid === child.pid) ? await this.workers() : [];
      return workers.length > 0 || undefined;
    });
  }

  async workers(): Promise<number[]> {
    return this.#titled("nginx: worker process");
  }

  /** The master tells them to end some 100 ms after it started others. */
  replacedWorkers(): Promise<number[]> {
    const look = () => this.#titled("nginx: worker process is shutting down");
    return waitFor("nginx to replace its workers", () => (look().length > 0 ? look() : undefined));
  }

  #titled(wanted: string): number[] {
    return childrenOf(this.#child?.pid ?? 0)
      .filter(({ title }) => title === wanted)
      .map(({ pid }) => pid);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const workers = childrenOf(child.pid ?? 0);
    this.#child = null;
    const closed = child.exitCode === null && child.signalCode === null ? once(child, "close") : Promise.resolve();
    for (const pid of [child.pid ?? 0, ...workers.map((worker) => worker.pid)]) if (pid > 0) endProcess(pid);
    await closed;
  }
}

/** Processes that this one started, by what they call themselves. */
function childrenOf(pid: number): { readonly pid: number; readonly title: string }[] {
  const text = existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8") : "";
  return text
    .split(" ")
    .filter((word) => word !== "")
    .map((word) => ({ pid: Number(word), title: readFileSync(`/proc/${word}/cmdline`, "utf8").replaceAll("\0", " ").trim() }));
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Answers `/` with the headers that it got, and `/stream` without end. */
export async function startApplication(socket: string, seen: string[][], trailers: string[] = []): Promise<AsyncDisposable> {
  const server: Server = createHttpServer((request, response) => {
    seen.push(request.rawHeaders);
    if (request.url === "/stream") {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      const timer = setInterval(() => response.writableNeedDrain || response.write("0123456789".repeat(100)), 5);
      response.once("close", () => clearInterval(timer));
      return;
    }
    request.resume().once("end", () => {
      trailers.push(...request.rawTrailers);
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(request.headers));
    });
  });
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (_request, stream) => {
    upgraded.add(stream);
    stream.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    stream.on("data", (data: Buffer) => stream.write(data));
    stream.on("error", () => {});
  });
  server.listen(socket);
  await once(server, "listening");
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      for (const stream of upgraded) stream.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
