import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { inNetns, type RunOptions, run } from "./exec.ts";

/** A process and the moment it began, in clock ticks since boot: together they name it, however often its number is used again. */
export interface ProcessId {
  readonly pid: number;
  readonly startTicks: number;
}

/** Writes "pid start" and becomes the program: a record stands before the program runs, and without its folder nothing runs. */
const RECORD_AND_BECOME = 'start=$(cut -d" " -f22 "/proc/$$/stat") && echo "$$ $start" >"$0" && exec "$@"';
/** Folder of the records, inside the lab's folder. */
export const RECORDS = "processes";
const CLOSED = "processes.closed";
const GRACE_MS = 2_000;
/** A killed process ends by itself; on a busy machine it has to wait for its turn. */
const KILLED_WITHIN_MS = 30_000;

/** Starts a program inside a namespace, in a session of its own, recorded under `name`; it outlives its starter. */
export function startProcess(folder: string, name: string, netns: string, command: readonly string[], logFile: string): void {
  const log = openSync(logFile, "a", 0o600);
  try {
    const record = join(folder, RECORDS, name);
    rmSync(record, { force: true });
    const [program, ...args] = recorded(record, inNetns(netns, command));
    const child = spawn(program, args, {
      detached: true,
      cwd: "/",
      stdio: ["ignore", log, log],
    });
    child.on("error", () => {});
    child.unref();
  } finally {
    closeSync(log);
  }
}

/** Runs a command to its end under a record, so that it does not outlive a starter that was killed. As {@link run} otherwise. */
export async function runRecorded(folder: string, command: readonly string[], options: RunOptions = {}): Promise<string> {
  const record = join(folder, RECORDS, `command-${randomUUID()}`);
  try {
    return await run(recorded(record, command), options);
  } finally {
    rmSync(record, { force: true });
  }
}

const recorded = (record: string, command: readonly string[]) => ["sh", "-c", RECORD_AND_BECOME, record, ...command] as const;

/** The recorded process if it still lives. */
export function findProcess(folder: string, name: string): ProcessId | undefined {
  const id = readRecord(join(folder, RECORDS, name));
  return id && isAlive(id) ? id : undefined;
}

/** True while exactly this process lives; a zombie is gone. */
export function isAlive(id: ProcessId): boolean {
  return readProcess(id.pid)?.startTicks === id.startTicks;
}

export function identify(pid: number): ProcessId | undefined {
  return readProcess(pid);
}

/** Closes the records for good, so that nothing can be started any more, and returns all that were ever made. */
export async function closeRecords(folder: string): Promise<readonly ProcessId[]> {
  const closed = join(folder, CLOSED);
  try {
    renameSync(join(folder, RECORDS), closed);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  const files = listNames(closed).map((name) => join(closed, name));
  // One opened just before the rename is written just after it.
  for (let i = 0; i < 400 && files.some((file) => statSync(file).size === 0); i++) await delay(5);
  return files.flatMap((file) => readRecord(file) ?? []);
}

/** Ends the processes: SIGTERM, and SIGKILL for those that stay. Resolves when none is left. */
export async function endProcesses(ids: readonly ProcessId[]): Promise<void> {
  for (const [signal, waitMs] of [
    ["SIGTERM", GRACE_MS],
    ["SIGKILL", KILLED_WITHIN_MS],
  ] as const) {
    for (const id of ids) sendSignal(id, signal);
    const end = performance.now() + waitMs;
    while (ids.some(isAlive) && performance.now() < end) await delay(10);
  }
  const left = ids.filter(isAlive);
  if (left.length > 0) throw new Error(`Cannot end processes ${left.map((id) => id.pid).join(", ")}: they survived SIGKILL`);
}

/** Nothing happens when the process is gone. */
export function sendSignal(id: ProcessId, signal: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** proc_pid_stat(5): field 3 is the state, field 22 the start time; the name before them may hold spaces and parentheses. */
function readProcess(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    return { pid, startTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

function readRecord(file: string): ProcessId | undefined {
  try {
    const [pid, startTicks] = readFileSync(file, "utf8").split(" ").map(Number);
    return pid && startTicks ? { pid, startTicks } : undefined;
  } catch {
    return undefined;
  }
}

function listNames(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
