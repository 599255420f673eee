import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readlinkSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { waitFor } from "../../lab/wait.ts";

/** Who runs it and who looks for it, as agent and terminator have one user on a host. */
const USER = 65_534;
const AS_USER = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];

export interface HiddenProcess extends AsyncDisposable {
  readonly pid: number;
}

/** Starts a program in a user namespace that is root's, with the users that the host has, as a unit with PrivateUsers=yes does. */
export async function startHidden(command: readonly string[]): Promise<HiddenProcess> {
  const script = 'read -r _; exec "$@"';
  // A group of its own: with it go its children.
  const child = spawn("unshare", ["--user", "sh", "-ec", script, "sh", ...AS_USER, ...command], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const pid = child.pid ?? 0;
  const namespaceOf = (id: number | "self") => readlinkSync(`/proc/${id}/ns/user`);
  await waitFor("its user namespace", () => namespaceOf(pid) !== namespaceOf("self") || undefined);
  for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${pid}/${map}`, `0 0 1\n${USER} ${USER} 1\n`);
  child.stdin.end("\n");
  return { pid, [Symbol.asyncDispose]: () => killed(child) };
}

/** Ends a program that has a group of its own, and its children with it. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  process.kill(-(child.pid ?? 0), "SIGKILL");
  await closed;
}

/**
 * What a module says to who sees of /proc what the agent's unit does (ProtectProc=invisible).
 * @param code of an ES module, which prints JSON
 * @param hidepid `off`: to one whose /proc hides nothing
 */
export async function seenByAgent(code: string, hidepid: "invisible" | "off" = "invisible"): Promise<unknown> {
  // It may read this checkout, wherever that is.
  const mayRead = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
  const script = `mount -t proc -o hidepid=${hidepid} proc /proc; exec "$@"`;
  const look = [...AS_USER, ...mayRead, process.execPath, "--input-type=module", "--eval", code];
  const { stdout } = await promisify(execFile)("unshare", ["--mount", "sh", "-ec", script, "sh", ...look]);
  return JSON.parse(stdout);
}

/** The address of a module of the agent's, for {@link seenByAgent}. */
export const agentModule = (name: string): string => JSON.stringify(new URL(`../../../agent/terminator/${name}`, import.meta.url).href);
