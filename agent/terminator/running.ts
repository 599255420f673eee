import { readFileSync } from "node:fs";
import { uptime } from "node:os";

/** Of /proc, on every Linux (proc_pid_stat(5): starttime counts USER_HZ). */
const TICK_MS = 10;

/**
 * Whether a process of that program runs. One that died and that nobody has waited for is listed all the same, and does not
 * (proc_pid_stat(5): comm, state).
 * @returns null when that cannot be read: there is none, or it is hidden (ProtectProc=invisible)
 */
export function runsAs(pid: number, program: "haproxy" | "nginx"): boolean | null {
  try {
    return new RegExp(`^\\d+ \\(${program}\\) [^ZX]`).test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return null;
  }
}

/**
 * Milliseconds since boot, never behind: as exact as a process's start, or where /proc shows processes alone (ProcSubset=pid), and whole
 * seconds are told, one second ahead at most.
 */
export function sinceBootMs(): number {
  const seconds = uptime();
  return Number.isInteger(seconds) ? (seconds + 1) * 1_000 : Math.round(seconds * 1_000) + TICK_MS;
}

/** When a process started, milliseconds since boot. @returns null as {@link runsAs} */
export function startedAtMs(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // What it calls itself may have any form; of what comes behind it is the 20th.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]) * TICK_MS;
  } catch {
    return null;
  }
}
