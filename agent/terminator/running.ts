import { readFileSync } from "node:fs";

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
