import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collect } from "../../lib/exec.ts";
import { shellLine } from "../../lib/shell.ts";
import { HostError, type Step } from "./errors.ts";
import { type Connection, pathFrom } from "./settings.ts";
import { codeOf, whole } from "./whole.ts";

/** Runs shell scripts as root on one host. */
export interface Remote {
  /**
   * @param script its $1 is where it was asked from, as sshd's SSH_CONNECTION says; $2, $3, … are the words
   * @returns standard output
   * @throws HostError named after the step: unreachable, host_key_differs, login_refused, timed_out, failed, not_whole, or no_program where
   * this machine lacks ssh or tar
   */
  sh(step: Step, script: string, options?: RemoteOptions): Promise<string>;
}

export interface RemoteOptions {
  readonly words?: readonly string[];
  /** Standard input of the script: text, which it gets whole or does not begin, or files of a local folder as a tar archive. */
  readonly input?: string | { readonly folder: string; readonly files: readonly string[] };
  readonly timeoutMs?: number;
}

const CONNECT_S = 10;
/** A host that is silent for so long is gone: interval and number of questions. */
const ALIVE = { intervalS: 5, questions: 6 } as const;
const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 1 << 20;
/** Exit code of ssh(1) when it is ssh that failed and not the script. */
const SSH_FAILED = 255;

/**
 * ssh(1) to one host: only the key that the settings name is it, only the settings' key is shown, no configuration of the user's counts.
 * What is sent goes by standard input, so that it stands in nobody's list of processes.
 */
export class Ssh implements Remote, Disposable {
  readonly #connection: Connection;
  readonly #folder: string;
  readonly #options: readonly string[];

  constructor(connection: Connection, settingsFile: string) {
    this.#connection = connection;
    this.#folder = mkdtempSync(join(tmpdir(), "entityos-metal-"));
    const known = join(this.#folder, "known_hosts");
    const { name, port, user, key, hostKey } = connection;
    writeFileSync(known, `${name} ${hostKey}\n`);
    const options: Readonly<Record<string, string | number>> = {
      BatchMode: "yes",
      StrictHostKeyChecking: "yes",
      UserKnownHostsFile: quoted(known),
      GlobalKnownHostsFile: "/dev/null",
      HostKeyAlias: name,
      CheckHostIP: "no",
      UpdateHostKeys: "no",
      ForwardAgent: "no",
      ConnectTimeout: CONNECT_S,
      ServerAliveInterval: ALIVE.intervalS,
      ServerAliveCountMax: ALIVE.questions,
      LogLevel: "ERROR",
      Port: port,
      User: user,
      // Without a key it is the SSH agent's alone: this machine's own files are shown to nobody.
      ...(key === null ? { IdentityFile: "none" } : { IdentitiesOnly: "yes", IdentityFile: quoted(pathFrom(settingsFile, key)) }),
    };
    this.#options = ["-F", "none", "-T", ...Object.entries(options).flatMap(([option, value]) => ["-o", `${option}=${value}`])];
  }

  async sh(step: Step, script: string, { words = [], input = "", timeoutMs = TIMEOUT_MS }: RemoteOptions = {}): Promise<string> {
    const { name, address, user } = this.#connection;
    const root = user === "root" ? [] : ["sudo", "-n", "--"];
    // Who asks is the first word: its own gate must not lock it out.
    const told = typeof input === "string" ? whole(script, input) : script;
    const command = `exec ${shellLine([...root, "sh", "-eu", "-c", told, name])} "\${SSH_CONNECTION-}" ${shellLine(words)}`;
    const running = this.#run([...this.#options, "--", address, command], input, timeoutMs);
    const { code, output, errors } = await running.catch((cause: NodeJS.ErrnoException) => {
      const program = cause.syscall?.replace("spawn ", "") ?? "ssh";
      throw new HostError(name, step, "no_program", `${program} cannot be started here (${cause.code}): install it`, cause);
    });
    if (code === 0) return output;
    throw new HostError(name, step, ...reasonOf(code, errors || output));
  }

  #run(
    words: readonly string[],
    input: NonNullable<RemoteOptions["input"]>,
    timeoutMs: number,
  ): Promise<{ readonly code: number | null; readonly output: string; readonly errors: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn("ssh", words, { stdio: ["pipe", "pipe", "pipe"] });
      const tooMuch = () => child.kill("SIGKILL");
      const timer = setTimeout(tooMuch, timeoutMs);
      const output = collect(child.stdout, MAX_OUTPUT_BYTES, tooMuch);
      const errors = collect(child.stderr, MAX_OUTPUT_BYTES, tooMuch);
      const end = (settle: () => void) => {
        clearTimeout(timer);
        settle();
      };
      child.once("error", (error) => end(() => reject(error)));
      child.once("close", (code) => end(() => resolve({ code, output: output(), errors: errors() })));
      // A script may end without reading all.
      child.stdin.on("error", () => {});
      if (typeof input === "string") child.stdin.end(input);
      else {
        const tar = spawn("tar", ["-C", input.folder, "-cf", "-", "--", ...input.files], { stdio: ["ignore", "pipe", "inherit"] });
        tar.once("error", reject);
        // Or it would wait for ever for a reader of its pipe.
        child.once("close", () => tar.kill());
        tar.stdout.pipe(child.stdin);
      }
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What ssh or the script said → a code and words. The only place that reads ssh's own text. */
export function reasonOf(code: number | null, said: string): [code: string, detail: string] {
  const words = said.trim().slice(-2_000);
  if (code === null) return ["timed_out", words || "it did not end in time"];
  if (code !== SSH_FAILED) return [codeOf(code) ?? "failed", words || `exit code ${code}`];
  if (/host key verification failed|host key for .* has changed|host identification has changed/i.test(words))
    return ["host_key_differs", "it shows another key than ssh.hostKey"];
  if (/permission denied|no such identity|too many authentication failures/i.test(words)) return ["login_refused", words];
  return ["unreachable", words || "no answer"];
}

/** A file as ssh_config(5) takes it in one word. */
const quoted = (path: string): string => `"${path.replaceAll("%", "%%").replace(/["\\]/g, "\\$&")}"`;
