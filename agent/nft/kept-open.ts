import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import type { ExchangeOptions } from "./bounds.ts";
import { NftError } from "./error.ts";
import { DIES_WITH_US, namelessFile, nftEnvironment, rewrite } from "./nft.ts";

/** Costs nft no look into the kernel, and its answer, one line, tells that all before it is done. */
export const PROBE = "describe tcp dport";
export const ANSWER = "payload expression, datatype inet_service";
/** What follows standard input, output and error. */
const FILE = "/dev/fd/3";
/** Bound on what nft may print for one script, characters. */
const OUTPUT_CHARACTERS = 32 << 20;

interface Waiting {
  readonly resolve: (output: string) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One kept-open `nft -i`. A script is one line; what nft prints before the probe's answer is the script's output or its error.
 * One exchange at a time. It is killed when its parent ends, however that ends: a script that it had not read yet would else be carried
 * out against what the next agent has loaded.
 */
export class NftProcess {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #alive = true;
  #waiting: Waiting | null = null;
  #lines: string[] = [];
  #characters = 0;
  #partial = "";
  /** A file without a name that nft has open too, for scripts that are long; null when it takes none. */
  #file: number | null;

  /**
   * @param within command and arguments that nft is run through, such as `nsenter --net=…`
   * @param flags nft's flags, such as -j
   * @param options.long {@link exchangeLong} will be used
   */
  constructor(within: readonly string[], flags: readonly string[], { long = false } = {}) {
    this.#file = long ? namelessFile("") : null;
    // Its standard error joins its output, in order.
    this.#child = spawn("sh", ["-c", 'exec "$@" 2>&1', "sh", ...DIES_WITH_US, ...within, "stdbuf", "-oL", "nft", ...flags, "-i"], {
      stdio: ["pipe", "pipe", "ignore", ...(this.#file === null ? [] : [this.#file])],
      env: nftEnvironment(),
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    this.#child.once("error", (error) => this.#end(new NftError("unusable", "nft cannot be started", { cause: error }), resolve));
    this.#child.once("close", () => this.#end(null, resolve));
    this.#child.stdin?.on("error", () => {});
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#take(text));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Resolves when the process has ended and all its output is read; never rejects. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /**
   * Hands a script of one line over and resolves to what nft printed for it: nothing for commands that change, else their output or an error.
   * @throws NftError gone | timeout | unusable; the signal's reason. The process is ended then, and the script may be done or not.
   */
  exchange(line: string, { timeoutMs, signal }: ExchangeOptions): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    if (!this.#alive) return Promise.reject(new NftError("gone", "nft has ended"));
    this.#waiting = { resolve, reject };
    const abandon = (reason: unknown) => {
      this.#waiting = null;
      this.kill();
      reject(reason);
    };
    const timer = setTimeout(() => abandon(new NftError("timeout", `nft did not answer in ${timeoutMs} ms`)), timeoutMs);
    const onAbort = () => abandon(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#child.stdin?.write(`${line}\n${PROBE}\n`);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    });
  }

  /**
   * As {@link exchange}, for native text of any length and any number of lines. It goes by a file: nft reads its standard input a byte
   * at a time, and another nft for it costs 12 ms and more, as this process is large (measured).
   */
  exchangeLong(script: string, options: ExchangeOptions): Promise<string> {
    if (this.#file === null || !this.#alive) return Promise.reject(new NftError("gone", "nft takes no file, or has ended"));
    rewrite(this.#file, script);
    return this.exchange(`include "${FILE}"`, options);
  }

  /** Lets it end by itself: nothing more is handed over. */
  finish(): void {
    this.#child.stdin?.end();
  }

  kill(): void {
    this.#alive = false;
    this.#child.kill("SIGKILL");
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith(ANSWER)) this.#answer();
      else if (this.#characters < OUTPUT_CHARACTERS) {
        this.#characters += line.length;
        this.#lines.push(line);
      }
    }
  }

  #answer(): void {
    const output = this.#lines.join("\n").trim();
    const waiting = this.#waiting;
    this.#lines = [];
    this.#characters = 0;
    this.#waiting = null;
    waiting?.resolve(output);
  }

  #end(error: NftError | null, done: () => void): void {
    this.#alive = false;
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
    const words = [...this.#lines, this.#partial].join(" ").trim().slice(0, 200);
    this.#waiting?.reject(error ?? new NftError("gone", `nft ended before it answered${words === "" ? "" : `: ${words}`}`));
    this.#waiting = null;
    done();
  }
}
