import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AgentConfig } from "../../../agent/config.ts";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { createMaster, MasterError } from "../../../agent/terminator/master.ts";
import { servingNginx } from "../../../agent/terminator/nginx-master.ts";
import { commandLine } from "../../lab/command-line.ts";
import { waitFor, within } from "../../lab/wait.ts";

/** Bound of a start, a reload or an end, on however busy a machine. */
const START_MS = 60_000;

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

/** What both have: a child with workers, run as its unit runs it. */
abstract class Started {
  protected readonly config: AgentConfig;
  protected child: ChildProcess | null = null;
  readonly #within: readonly string[];

  constructor(config: AgentConfig, within: readonly string[]) {
    this.config = config;
    this.#within = within;
  }

  abstract workers(): Promise<number[]>;

  async replaced(workers: readonly number[]): Promise<void> {
    const none = async () => !(await this.workers()).some((pid) => workers.includes(pid)) || undefined;
    await waitFor("workers to be replaced", none, { timeoutMs: START_MS });
  }

  protected begin(...command: readonly string[]): { readonly child: ChildProcess; said(): string } {
    const [program = "", ...words] = [...this.#within, ...command];
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    this.child = child;
    return { child, said: () => output };
  }

  /** Ends the child and its workers. It begins no other meanwhile, so that none is left that holds its output open. */
  async kill(): Promise<void> {
    const { child } = this;
    if (child === null) return;
    this.child = null;
    const ended = child.exitCode !== null || child.signalCode !== null;
    const closed: Promise<unknown> = ended ? Promise.resolve() : once(child, "close");
    const pid = child.pid ?? 0;
    if (!ended) {
      signal(pid, "SIGSTOP");
      // A signal is on its way for a moment, in which one more worker may begin.
      await waitFor(`pid ${pid} to stop`, () => /\) [TZX] /.test(statOf(pid)) || undefined);
    }
    for (const each of [...childrenOf(pid).map((worker) => worker.pid), pid]) if (each > 0) signal(each, "SIGKILL");
    await within(() => `the end of pid ${pid}`, START_MS, closed);
  }
}

/** HAProxy. */
class Haproxy extends Started implements TerminatorProcess {
  async start(): Promise<void> {
    const { terminator, stateDir } = this.config;
    rmSync(terminator.masterSocket, { force: true });
    const socket = `${terminator.masterSocket},mode,600`;
    const { child, said } = this.begin("haproxy", "-W", "-S", socket, "-f", join(currentLink(stateDir), "haproxy.cfg"));
    const master = createMaster(terminator.masterSocket);
    const serves = async () => {
      if (child.exitCode !== null) throw new Error(`HAProxy ended: ${said()}`);
      if (!existsSync(terminator.masterSocket)) return undefined;
      const answer = await master.command("show proc", { signal: AbortSignal.timeout(1_000) }).catch(() => "");
      return /^\d+\s+worker/m.test(answer) || undefined;
    };
    await waitFor("HAProxy to serve", serves, { timeoutMs: START_MS });
  }

  workers(): Promise<number[]> {
    return this.#listed("workers");
  }

  replacedWorkers(): Promise<number[]> {
    return this.#listed("old workers");
  }

  /** The master answers nobody for a moment of a reload. */
  async #listed(section: "workers" | "old workers"): Promise<number[]> {
    const master = createMaster(this.config.terminator.masterSocket);
    const ask = () =>
      master.command("show proc", { signal: AbortSignal.timeout(START_MS) }).catch((error: unknown) => {
        if (error instanceof MasterError && error.kind === "away") return undefined;
        throw error;
      });
    const answer = await waitFor("HAProxy's master to answer", ask, { timeoutMs: START_MS });
    return readWorkerIds(answer.split(`# ${section}\n`)[1]?.split("\n# ")[0] ?? "");
  }
}

const readWorkerIds = (answer: string): number[] => [...answer.matchAll(/^(\d+)\s+worker/gm)].map(([, pid]) => Number(pid));

const SHUTTING_DOWN = "nginx: worker process is shutting down";

class Nginx extends Started implements TerminatorProcess {
  async start(): Promise<void> {
    const { stateDir } = this.config;
    // Workers of a master that is root are nobody's by default, who may not ask the agent.
    const words = ["-e", "stderr", "-g", "user root;", "-c", join(currentLink(stateDir), "nginx.conf")];
    const { child, said } = this.begin("nginx", ...words);
    const serves = async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended: ${said()}`);
      const workers = servingNginx(stateDir).some(({ pid }) => pid === child.pid) ? await this.workers() : [];
      return workers.length > 0 || undefined;
    };
    await waitFor("nginx to serve", serves, { timeoutMs: START_MS });
  }

  /** One that was just made still bears its master's title, and takes connections all the same. */
  async workers(): Promise<number[]> {
    return this.#titled((title) => title !== "" && title !== SHUTTING_DOWN);
  }

  /** The master tells them to end some 100 ms after it started others. */
  replacedWorkers(): Promise<number[]> {
    const look = () => this.#titled((title) => title === SHUTTING_DOWN);
    return waitFor("nginx to replace its workers", () => (look().length > 0 ? look() : undefined));
  }

  #titled(isWanted: (title: string) => boolean): number[] {
    return childrenOf(this.child?.pid ?? 0)
      .filter(({ title }) => isWanted(title))
      .map(({ pid }) => pid);
  }
}

/** Processes that this one started, by what they call themselves. */
function childrenOf(pid: number): { readonly pid: number; readonly title: string }[] {
  const text = existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8") : "";
  return text
    .split(" ")
    .filter((word) => word !== "")
    .map((word) => ({ pid: Number(word), title: commandLine(Number(word)) }));
}

/** proc_pid_stat(5): the state comes behind the name. A process that is gone is dead (X). */
function statOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return `${pid} () X `;
  }
}

function signal(pid: number, name: "SIGSTOP" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}
