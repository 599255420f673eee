import { execFile } from "node:child_process";

export interface Executed {
  /** Exit code; null when a signal or the time limit ended it. */
  readonly code: number | null;
  /** Standard output and standard error, the latter last. */
  readonly output: string;
}

/** Bound on what a program may print, bytes. */
const MAX_OUTPUT_BYTES = 1 << 20;

/**
 * Runs a program to its end, without a shell.
 * @throws the system's error when it cannot be started (ENOENT, EACCES), the signal's reason when that aborts
 */
export function execute(
  program: string,
  words: readonly string[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Executed> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, signal, killSignal: "SIGKILL", maxBuffer: MAX_OUTPUT_BYTES, encoding: "utf8" } as const;
    execFile(program, words, options, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`;
      if (error === null) resolve({ code: 0, output });
      else if (signal.aborted) reject(signal.reason);
      else if (typeof error.code === "string") reject(error);
      else resolve({ code: error.killed === true ? null : (error.code ?? null), output });
    });
  });
}

/** Keeps what a stream says, as text when asked. `tooMuch` is called with what comes beyond `most` bytes, which is not kept. */
export function collect(stream: NodeJS.ReadableStream, most: number, tooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= most) chunks.push(chunk);
    else tooMuch();
  });
  return () => Buffer.concat(chunks).toString();
}
