import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmdirSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExchangeOptions } from "./bounds.ts";
import { NftError, readNftError } from "./error.ts";

/** Bound on what is kept of nft's standard error, characters. */
const ERROR_CHARACTERS = 16_384;
/** Bound on what one nft may print, characters. */
const OUTPUT_CHARACTERS = 32 << 20;
/** Address space of a watching nft, KiB: it keeps 350 bytes of every element, and beside a million it would read them all in, 640 MB. */
const WATCH_KIB = 65_536;

/** What every nft is run through: the kernel kills it when this process ends, also a stopped one (PR_SET_PDEATHSIG, prctl(2)). */
export const DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"] as const;

/** nft reads and writes ~/.nft.history in interactive use, speaks the user's language, and complains of terminals that it does not know (sudo's "unknown"). */
export const nftEnvironment = (): NodeJS.ProcessEnv => ({ ...process.env, HOME: "/nonexistent", LC_ALL: "C", TERM: "dumb" });

/**
 * Runs one long script, native text or JSON, in an nft of its own: the kept-open one reads byte by byte (four times slower, measured).
 * The script is a file without a name, so that nothing is left behind whatever happens.
 * @throws NftError, the signal's reason
 */
export async function runOnce(within: readonly string[], script: string, bounds: ExchangeOptions): Promise<void> {
  const file = namelessFile(script);
  try {
    await finished([...within, "nft", ...(script.startsWith("{") ? ["-j"] : []), "-f", "/dev/fd/3"], file, bounds);
  } finally {
    closeSync(file);
  }
}

/**
 * Has nft and the kernel check a script of native text, without doing it.
 * @throws NftError, the signal's reason
 */
export async function askScript(within: readonly string[], script: string, bounds: ExchangeOptions): Promise<void> {
  const file = namelessFile(script);
  try {
    await finished([...within, "nft", "-c", "-f", "/dev/fd/3"], file, bounds);
  } finally {
    closeSync(file);
  }
}

/**
 * What one nft with these words prints.
 * @throws NftError, the signal's reason
 */
export function askOnce(within: readonly string[], words: readonly string[], bounds: ExchangeOptions): Promise<string> {
  return finished([...within, "nft", ...words], "ignore", bounds);
}

/** An nft that goes on printing lines. */
export interface Watching {
  /** Resolves with the end of its standard error when it has ended, whatever the reason; never rejects. */
  readonly ended: Promise<string>;
  kill(): void;
}

/** Starts an nft whose lines, of standard output and error alike, are handed over one by one. */
export function watch(within: readonly string[], words: readonly string[], onLine: (line: string) => void): Watching {
  const limited = `ulimit -v ${WATCH_KIB} && exec "$@" 2>&1`;
  const child = spawn("sh", ["-c", limited, "sh", ...DIES_WITH_US, ...within, "stdbuf", "-oL", "nft", ...words], {
    stdio: ["ignore", "pipe", "ignore"],
    env: nftEnvironment(),
  });
  let partial = "";
  let last = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (partial + text).split("\n");
    partial = (lines.pop() ?? "").slice(0, ERROR_CHARACTERS);
    for (const line of lines) {
      last = line;
      onLine(line);
    }
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  child.once("error", (error) => resolve(error.message));
  child.once("close", () => resolve((partial || last).slice(0, 200)));
  return { ended: promise, kill: () => void child.kill("SIGKILL") };
}

function finished(command: readonly string[], script: number | "ignore", { timeoutMs, signal }: ExchangeOptions): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const [program = "", ...words] = [...DIES_WITH_US, ...command];
  const child = spawn(program, words, {
    stdio: ["ignore", "pipe", "pipe", script],
    env: nftEnvironment(),
    signal,
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const output = collect(child, "stdout", OUTPUT_CHARACTERS);
  const errors = collect(child, "stderr", ERROR_CHARACTERS);
  child.once("error", (cause) => reject(signal.aborted ? signal.reason : new NftError("unusable", "nft cannot be started", { cause })));
  child.once("close", (code, killedBy) => {
    if (code === 0) resolve(output());
    else if (killedBy === null) reject(readNftError(errors()));
    else reject(new NftError(child.killed ? "timeout" : "gone", `nft was ended by ${killedBy}`));
  });
  return promise;
}

function collect(child: ChildProcess, stream: "stdout" | "stderr", most: number): () => string {
  const parts: string[] = [];
  let characters = 0;
  child[stream]?.setEncoding("utf8").on("data", (text: string) => {
    if (characters < most) parts.push(text);
    characters += text.length;
  });
  return () => parts.join("");
}

/** Opens a file that holds the text and has no name, so that nothing is left behind whatever happens. */
export function namelessFile(text: string): number {
  const folder = mkdtempSync(join(tmpdir(), "entityos-nft-"));
  const name = join(folder, "script");
  let file: number | null = null;
  try {
    file = openSync(name, "wx+", 0o600);
    unlinkSync(name);
    rewrite(file, text);
    return file;
  } catch (error) {
    if (file !== null) closeSync(file);
    throw error;
  } finally {
    // Takes no descriptor, of which there may be none left.
    rmdirSync(folder);
  }
}

/** Puts the text in the place of what an open file holds. */
export function rewrite(file: number, text: string): void {
  ftruncateSync(file);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at, at);
}
