import { readdirSync, readFileSync } from "node:fs";
import { setInterval as every } from "node:timers";

/** Peaks of resident memory, bytes. */
export interface Peak {
  readonly process: number;
  /** The largest of its nft children. */
  readonly nft: number;
}

const LOOK_MS = 25;
/** Linux tells processes 100 ticks a second. */
const TICK_MS = 10;

/** Watches a process and its nft children until it is disposed of; `find` names the process once it is there. */
export class MemoryWatch implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #peak: Peak = { process: 0, nft: 0 };

  constructor(find: () => number | undefined) {
    this.#timer = every(() => {
      const pid = find();
      if (pid !== undefined) this.#look(pid);
    }, LOOK_MS);
  }

  get peak(): Peak {
    return this.#peak;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(pid: number): void {
    const nft = Math.max(this.#peak.nft, ...descendants(pid).map(peakOf));
    this.#peak = { process: Math.max(this.#peak.process, peakOf(pid)), nft };
  }
}

/** proc_pid_status(5): VmHWM is the peak, in kB. */
function peakOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

/**
 * Processor time that a process, and its children with theirs, spent so far, milliseconds (proc_pid_stat(5)): those that run and those
 * that have ended. Unlike the clock it does not depend on what else the machine does.
 */
export function processorMs(pid: number): { readonly own: number; readonly children: number } {
  const { own, ended } = spent(pid);
  const living = descendants(pid).map(spent);
  return { own, children: living.reduce((sum, child) => sum + child.own + child.ended, ended) };
}

function spent(pid: number): { readonly own: number; readonly ended: number } {
  const fields = read(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  const [user = 0, system = 0, childrenUser = 0, childrenSystem = 0] = fields.slice(11, 15).map((ticks) => Number(ticks) * TICK_MS);
  return { own: user + system, ended: childrenUser + childrenSystem };
}

/** Memory of a program's processes below this one, bytes: what they share is counted once (proc_pid_smaps(5), Pss). */
export const sharedBelow = (pid: number, program: string): number =>
  descendants(pid)
    .filter((child) => read(`/proc/${child}/comm`).trim() === program)
    .reduce((sum, child) => sum + Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${child}/smaps_rollup`))?.[1] ?? 0) * 1024, 0);

/** Children and theirs: nft may be run through stdbuf or nsenter. */
function descendants(pid: number): readonly number[] {
  const children = readdirSafe(`/proc/${pid}/task`).flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(" "));
  return children
    .filter(Boolean)
    .map(Number)
    .flatMap((child) => [child, ...descendants(child)]);
}

const read = (file: string): string => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};
const readdirSafe = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};
