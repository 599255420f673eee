import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { delay } from "../../lib/abort.ts";
import { type Layout, layoutOf, terminatorFolder } from "./layout.ts";
import { runsAs, whose } from "./running.ts";

/** nginx did not do what its master was told. */
export class NginxError extends Error {}

/** nginx reads its files anew, writes the new generation's process id, opens its sockets and starts workers. */
const RELOAD_WITHIN_MS = 60_000;
const LOOK_AGAIN_MS = 10;

/** A generation that a living nginx serves. */
export interface Serving {
  readonly layout: Layout;
  readonly pid: number;
}

/** Every generation whose nginx lives: one at most, but for moments of a reload. */
export function servingNginx(stateDir: string): Serving[] {
  const folder = terminatorFolder(stateDir);
  return generationsIn(folder).flatMap((name) => {
    const layout = layoutOf(join(folder, name), "nginx");
    const pid = readPid(layout);
    return pid !== null && livesAsNginx(pid) ? [{ layout, pid }] : [];
  });
}

/**
 * Has nginx take the generation that the link names; it goes on with the one before when it cannot. New workers take connections when
 * it resolves, and those before are told to end within some 100 ms.
 * @returns false when no nginx runs: the next one reads the files
 * @throws NginxError when it keeps what it had
 */
export async function reloadNginx(stateDir: string, layout: Layout, signal: AbortSignal): Promise<boolean> {
  const [serving] = servingNginx(stateDir);
  if (serving === undefined || !signalled(serving.pid, "SIGHUP")) return false;
  for (let waitedMs = 0; waitedMs < RELOAD_WITHIN_MS; waitedMs += LOOK_AGAIN_MS) {
    const said = readIfThere(layout.log);
    if (/: start worker process /.test(said)) return true;
    const fault = whyGivenUp(said);
    if (fault !== null) {
      // The process id went to the new place before that.
      if (existsSync(layout.pid)) renameSync(layout.pid, serving.layout.pid);
      throw new NginxError(`nginx did not take its new configuration: ${fault}`);
    }
    if (!livesAsNginx(serving.pid)) return false;
    await delay(LOOK_AGAIN_MS, signal);
  }
  throw new NginxError("nginx did not take its new configuration: its log says why");
}

/** @returns null while it goes on: a port that is taken it tries again for two seconds */
function whyGivenUp(said: string): string | null {
  const faults = [...said.matchAll(/\[emerg\] \S+ (.+)/g)].map(([, words = ""]) => words);
  return faults.every((words) => words.includes("(98: ")) ? null : [...new Set(faults)].join(", ").slice(0, 1_000);
}

function generationsIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^generation-\d+$/.test(name));
  } catch {
    return [];
  }
}

const readPid = ({ pid }: Layout): number | null => Number(/^(\d{1,10})\n?$/.exec(readIfThere(pid))?.[1] ?? 0) || null;

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/**
 * A process id may have gone to another program, another user's too. Where the name cannot be read (ProtectProc=invisible) the right to
 * signal it must do.
 */
function livesAsNginx(pid: number): boolean {
  const named = runsAs(pid, "nginx");
  return named === null ? whose(pid) === "ours" : named && signalled(pid, 0);
}

/** @returns false when there is no such process. @throws NginxError when it is another user's */
function signalled(pid: number, signal: "SIGHUP" | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EPERM")
      throw new NginxError(`Cannot tell nginx (pid ${pid}) anything: it must run as the agent's own user`, { cause: error });
    return false;
  }
}
