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

/**
 * Whether a process of that program runs, as far as can be told: of one in another user namespace (PrivateUsers=yes) /proc shows nothing
 * to who sees only its own (ProtectProc=invisible), and a signal that does nothing finds it all the same (ptrace(2), kill(2)). A hidden
 * process of another user counts as well: what runs must not be taken for dead, and the ids asked for are those that the program named.
 */
export const lives = (pid: number, program: "haproxy" | "nginx"): boolean => runsAs(pid, program) ?? whose(pid) !== null;

/** Whose process has that id, by the right to signal it (kill(2)). @returns null when there is none */
export function whose(pid: number): "ours" | "another's" | null {
  try {
    process.kill(pid, 0);
    return "ours";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM" ? "another's" : null;
  }
}
