import { spawn } from "node:child_process";
import { collect } from "../../lib/exec.ts";

/** Characters of each that a {@link CommandError} tells. */
const MAX_TOLD = 2_000;

/** A command that did not exit with 0; the message carries the end of what it wrote: on standard error, then on standard output. */
export class CommandError extends Error {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(command: readonly string[], code: number | null, stdout: string, stderr: string) {
    const said = [stderr, stdout].map((text) => text.trim().slice(-MAX_TOLD)).filter((text) => text !== "");
    super(`'${command.join(" ")}' ended with ${code ?? "a signal"}: ${said.join("\n")}`);
    this.code = code;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

const MAX_OUTPUT_BYTES = 64 << 20;

/**
 * Runs a command to its end and resolves to its standard output. It is in a session of its own: a Ctrl-C reaches it only as an abort.
 * @throws CommandError when it does not exit with 0, does not end in time or cannot be started
 */
export function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input = "", timeoutMs = 60_000, signal } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const [program = "", ...args] = command;
    const child = spawn(program, args, { detached: true, timeout: timeoutMs, killSignal: "SIGKILL", ...(signal ? { signal } : {}) });
    const tooMuch = () => child.kill("SIGKILL");
    const stdout = collect(child.stdout, MAX_OUTPUT_BYTES, tooMuch);
    const stderr = collect(child.stderr, MAX_OUTPUT_BYTES, tooMuch);
    child.once("error", (cause) => reject(signal?.aborted ? signal.reason : new CommandError(command, null, "", cause.message)));
    child.once("close", (code) => (code === 0 ? resolve(stdout()) : reject(new CommandError(command, code, stdout(), stderr()))));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** The command as it runs inside a network namespace. nsenter rather than `ip netns exec`, which hides the cgroup mounts. */
export const inNetns = (netns: string, command: readonly string[]): readonly string[] => [
  "nsenter",
  `--net=/run/netns/${netns}`,
  "--",
  ...command,
];
