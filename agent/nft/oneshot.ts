import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NftError, readNftError } from "./error.ts";
import type { ExchangeOptions } from "./process.ts";

/** Bound on what is kept of nft's standard error, characters. */
const ERROR_CHARACTERS = 16_384;

/**
 * Runs one long script, native text or JSON, in an nft of its own: the kept-open one reads byte by byte (four times slower, measured).
 * The script is a file without a name, so that nothing is left behind whatever happens.
 * @throws NftError, the signal's reason
 */
export function runOnce(within: readonly string[], script: string, { timeoutMs, signal }: ExchangeOptions): Promise<void> {
  const [command = "nft", ...words] = [...within, "nft", ...(script.startsWith("{") ? ["-j"] : []), "-f", "/dev/fd/3"];
  const file = namelessFile(script);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  try {
    const child = spawn(command, words, {
      stdio: ["ignore", "ignore", "pipe", file],
      env: { ...process.env, HOME: "/nonexistent", LC_ALL: "C" },
      signal,
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    let errors = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      if (errors.length < ERROR_CHARACTERS) errors += text;
    });
    child.once("error", (cause) => reject(signal.aborted ? signal.reason : new NftError("unusable", "nft cannot be started", { cause })));
    child.once("close", (code, killed) => {
      if (code === 0) resolve();
      else if (killed !== null) reject(new NftError(child.killed ? "timeout" : "gone", `nft was ended by ${killed}`));
      else reject(readNftError(errors));
    });
  } finally {
    closeSync(file);
  }
  return promise;
}

function namelessFile(text: string): number {
  const folder = mkdtempSync(join(tmpdir(), "entityos-nft-"));
  try {
    const file = openSync(join(folder, "script"), "wx+", 0o600);
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    return file;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
