import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AgentConfig } from "../../../agent/config.ts";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { createMaster } from "../../../agent/terminator/master.ts";
import { servingNginx } from "../../../agent/terminator/nginx-master.ts";
import { waitFor } from "../../lab/wait.ts";

/** What ends TLS, as a process of the test's. */
export interface TerminatorProcess {
  start(): Promise<void>;
  /** Process ids of the workers that take new connections. */
  workers(): Promise<number[]>;
  /** Process ids of those that were replaced and let requests end. */
  replacedWorkers(): Promise<number[]>;
  /** Resolves when none of these takes a new connection any more. */
  replaced(workers: readonly number[]): Promise<void>;
  kill(): Promise<void>;
}

/** @param within command and arguments that it is run through, none by default */
export const terminatorProcess = (config: AgentConfig, within: readonly string[] = []): TerminatorProcess =>
  config.terminator.kind === "nginx" ? new Nginx(config, within) : new Haproxy(config, within);

/** HAProxy as its unit runs it. */
class Haproxy implements TerminatorProcess {
  readonly #config: AgentConfig;
  readonly #within: readonly string[];
  #child: ChildProcess | null = null;

  constructor(config: AgentConfig, within: readonly string[]) {
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

  async replaced(workers: readonly number[]): Promise<void> {
    await waitFor("HAProxy to replace its workers", async () => !(await this.workers()).some((pid) => workers.includes(pid)) || undefined);
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

class Nginx implements TerminatorProcess {
  readonly #config: AgentConfig;
  readonly #within: readonly string[];
  #child: ChildProcess | null = null;

  constructor(config: AgentConfig, within: readonly string[]) {
    this.#config = config;
    this.#within = within;
  }

  async start(): Promise<void> {
    const { stateDir } = this.#config;
    // Workers of a master that is root are nobody's by default, who may not ask the agent.
    const words = ["-e", "stderr", "-g", "user root;", "-c", join(currentLink(stateDir), "nginx.conf")];
    const [program = "", ...rest] = [...this.#within, "nginx", ...words];
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
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

  async replaced(workers: readonly number[]): Promise<void> {
    await waitFor("nginx to replace its workers", async () => !(await this.workers()).some((pid) => workers.includes(pid)) || undefined);
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
    .map((word) => ({ pid: Number(word), title: titleOf(Number(word)) }));
}

/** Empty when it has ended. */
function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
