import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ProcessId, sendSignal } from "../lab/processes.ts";
import { waitFor } from "../lab/wait.ts";

/**
 * Copies an agent's state as a crash of it at this moment would leave it. The agent stands still meanwhile: a database is two files, and
 * what moves from the one to the other between their copies would be in neither.
 */
export async function copyAsCrashed(agent: ProcessId, from: string, to: string, copy = copyFileSync): Promise<void> {
  sendSignal(agent, "SIGSTOP");
  try {
    await waitFor("the agent to stand still", () => standsStill(agent.pid) || undefined, { everyMs: 1 });
    for (const suffix of ["", "-wal"]) {
      const file = join(from, `state.db${suffix}`);
      if (existsSync(file)) copy(file, join(to, `state.db${suffix}`));
    }
  } finally {
    sendSignal(agent, "SIGCONT");
  }
}

/** proc_pid_stat(5): field 3, behind a name that may hold spaces and parentheses. */
function standsStill(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}
