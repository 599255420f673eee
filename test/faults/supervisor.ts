import { readFileSync } from "node:fs";
import { delay } from "../../lib/abort.ts";
import { paths } from "../lab/folder.ts";
import type { LabPlan, Member } from "../lab/plan.ts";
import { findProcess, isAlive, type ProcessId, sendSignal, startProcess } from "../lab/processes.ts";
import { agentCommand, agentOf, registryCommand } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";

const LOOK_EVERY_MS = 20;
/** As systemd with RestartSec=100ms. */
const RESTART_AFTER_MS = 100;
const LAST_LINES = 5;

interface Program {
  readonly name: string;
  readonly member: Member;
  readonly command: readonly string[];
  last: ProcessId | undefined;
  /** We ended the one that ran last. */
  killed: boolean;
}

/** Keeps the lab's registry and agents running, as a service manager would, and notes who ended without being killed. */
export class Supervisor implements AsyncDisposable {
  readonly #plan: LabPlan;
  readonly #programs = new Map<string, Program>();
  readonly #abort = new AbortController();
  #work: Promise<unknown> = Promise.resolve();
  restarts = 0;
  readonly unexpected: string[] = [];

  /** Everything runs already. */
  constructor(plan: LabPlan) {
    this.#plan = plan;
    const add = (name: string, member: Member, command: readonly string[]) =>
      this.#programs.set(name, { name, member, command, last: findProcess(plan.folder, name), killed: false });
    add("registry", plan.registry, registryCommand(plan));
    for (const host of plan.hosts) add(agentOf(host), host, agentCommand(plan, host));
    this.#work = Promise.all([...this.#programs.values()].map((program) => this.#keep(program)));
  }

  /** The process of a program if it lives now. */
  find(name: string): ProcessId | undefined {
    return findProcess(this.#plan.folder, name);
  }

  /** SIGKILL; nothing when it is down at this moment. @returns whether it was running */
  kill(name: string): boolean {
    const program = this.#programs.get(name);
    const id = this.find(name);
    if (program === undefined || id === undefined) return false;
    program.last = id;
    program.killed = true;
    sendSignal(id, "SIGKILL");
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("the supervisor stops"));
    await this.#work;
  }

  async #keep(program: Program): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await delay(LOOK_EVERY_MS, signal).catch(() => {});
      if (signal.aborted || (program.last !== undefined && isAlive(program.last))) continue;
      if (!program.killed) this.unexpected.push(`${program.name} ended by itself:\n${this.#lastWords(program.name)}`);
      program.killed = false;
      await delay(RESTART_AFTER_MS, signal).catch(() => {});
      if (signal.aborted) return;
      await this.#start(program).catch((error: unknown) => this.unexpected.push(`${program.name}: ${String(error)}`));
    }
  }

  async #start(program: Program): Promise<void> {
    const { folder } = this.#plan;
    this.restarts++;
    startProcess(folder, program.name, program.member.netns, program.command, paths(this.#plan).log(program.name));
    program.last = await waitFor(`${program.name} to start`, () => this.find(program.name), { signal: this.#abort.signal });
  }

  #lastWords(name: string): string {
    return readFileSync(paths(this.#plan).log(name), "utf8").trimEnd().split("\n").slice(-LAST_LINES).join("\n");
  }
}
