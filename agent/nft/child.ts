import { delay, Following } from "../../lib/abort.ts";
import type { Log } from "../../lib/log.ts";
import { type ExchangeOptions, Patience, SPAWNED_MS } from "./bounds.ts";
import { NftError, readNftError } from "./error.ts";
import { NftProcess } from "./kept-open.ts";
import { runOnce } from "./nft.ts";

/** What the kernel's tables are changed and asked through; one narrow seam, so that tests can stand in for it. */
export interface Nft extends AsyncDisposable {
  /**
   * Runs one script as one transaction, after those before it: native text (commands on lines of their own, or joined by "; ") or one JSON document.
   * @throws NftError; after `gone` and `timeout` it may be done or not, and will not be done later than what is run next
   */
  run(script: string, options: ExchangeOptions): Promise<void>;
  /** Runs listing commands and resolves to nft's JSON documents, parsed. Sets come without their elements. */
  query(command: string, options: ExchangeOptions): Promise<unknown[]>;
}

export interface NftOptions {
  readonly log: Log;
  /** Ends everything when it aborts. */
  readonly signal: AbortSignal;
  /** Command and arguments that nft is run through, such as `nsenter --net=…`; none by default. */
  readonly within?: readonly string[];
  /** JSON, and sets without their elements; in another order for who must tell one from the other. */
  readonly flags?: readonly string[];
}

/**
 * Scripts up to this length are handed over as a line. nft reads that a byte at a time, 4 kB in about 1.5 ms; a longer one goes by a
 * file, if it is native text, or through an nft of its own.
 */
const LINE_CHARACTERS = 4_096;
/**
 * nft keeps every line in a history and walks it at each new one (0.2 ms a script at first, 1.1 ms after 60,000 lines, measured):
 * it is replaced by a fresh one in time. Not too often: to start a program costs a large process 20 ms and more. Until the fresh one
 * answers, which may take 100 ms and more on a busy machine, the old one serves.
 */
const SCRIPTS_PER_PROCESS = 2_000;
const FINISH_TIMEOUT_MS = 2_000;
/** A killed nft that is not gone by then is held by the kernel, which then holds up the next one too. */
const ENDED_WITHIN_MS = 5_000;

/**
 * Starts the kept-open nft and asks it something, so that what is missing is known at once.
 * @throws NftError unusable (no nft, no stdbuf, no JSON) | permission
 */
export async function startNft(options: NftOptions): Promise<Nft> {
  const nft = openNft(options);
  try {
    await nft.query("list chains inet", { timeoutMs: SPAWNED_MS, signal: options.signal });
    return nft;
  } catch (error) {
    await nft[Symbol.asyncDispose]();
    throw error instanceof NftError && error.kind === "gone"
      ? new NftError("unusable", `nft does not run here: ${error.message}`, { cause: error })
      : error;
  }
}

/** The kept-open nft, started with the first that it is asked. */
export const openNft = (options: NftOptions): Nft => new KeptOpenNft(options);

class KeptOpenNft implements Nft {
  readonly #log: Log;
  readonly #within: readonly string[];
  readonly #flags: readonly string[];
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #patience = new Patience();
  #process: NftProcess | null = null;
  /** Takes the other's place as soon as it is known to answer. */
  #next: { readonly process: NftProcess; answers: boolean } | null = null;
  #scripts = 0;
  #last: Promise<unknown> = Promise.resolve();
  readonly #retired = new Set<Promise<void>>();

  constructor({ log, signal, within = [], flags = ["-t", "-j"] }: NftOptions) {
    this.#log = log;
    this.#flags = flags;
    this.#within = within;
    this.#signal = AbortSignal.any([signal, this.#ending.signal]);
  }

  async run(script: string, options: ExchangeOptions): Promise<void> {
    const output = await this.#inTurn(options, (bounds) => {
      if (script.length <= LINE_CHARACTERS) {
        return this.#answered((nft, patient) => nft.exchange(script.replaceAll("\n", "; "), patient), bounds);
      }
      if (script.startsWith("{")) return runOnce(this.#within, script, bounds).then(() => "");
      return this.#exchange((nft) => nft.exchangeLong(script, bounds), bounds);
    });
    if (output !== "") throw readNftError(output);
  }

  async query(command: string, options: ExchangeOptions): Promise<unknown[]> {
    const output = await this.#inTurn(options, (bounds) => this.#answered((nft, patient) => nft.exchange(command, patient), bounds));
    // Of an empty ruleset nft prints nothing at all.
    if (output === "") return [];
    try {
      return output.split("\n").map((line) => JSON.parse(line) as unknown);
    } catch {
      throw readNftError(output);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new NftError("gone", "nft is closed"));
    void this.#retire();
    if (this.#next !== null) void this.#finish(this.#next.process);
    await Promise.all(this.#retired);
  }

  /** One script at a time; one that fails does not hold up the next. */
  #inTurn<T>(options: ExchangeOptions, work: (bounds: ExchangeOptions) => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      using both = new Following(this.#signal, options.signal);
      both.signal.throwIfAborted();
      return await work({ timeoutMs: options.timeoutMs, signal: both.signal });
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** As {@link #exchange}, of a line: it has as long for its answer as this nft is waited for. */
  #answered(words: (nft: NftProcess, patient: ExchangeOptions) => Promise<string>, bounds: ExchangeOptions): Promise<string> {
    const patient = { ...bounds, timeoutMs: Math.min(bounds.timeoutMs, this.#patience.ms) };
    return this.#patience.of(() => this.#exchange((nft) => words(nft, patient), bounds));
  }

  async #exchange(words: (nft: NftProcess) => Promise<string>, bounds: ExchangeOptions): Promise<string> {
    if (this.#process !== null && !this.#process.alive) {
      this.#log.warn({ pid: this.#process.pid }, "nft ended by itself, another one is started");
      void this.#retire();
    }
    this.#takeNext();
    this.#process ??= this.#started();
    try {
      return await words(this.#process);
    } catch (error) {
      const failed = this.#retire();
      // What it was given must not reach the kernel after what comes next.
      if (!bounds.signal.aborted) await Promise.race([failed, delay(ENDED_WITHIN_MS, bounds.signal).catch(() => {})]);
      throw error;
    } finally {
      this.#scripts++;
      if (this.#scripts >= SCRIPTS_PER_PROCESS && this.#next === null && !bounds.signal.aborted) this.#prepare();
    }
  }

  #started(): NftProcess {
    return new NftProcess(this.#within, this.#flags, { long: true });
  }

  /** Starts the next one beside the one that serves. When that cannot be done, or it does not answer, the old one goes on until another is tried. */
  #prepare(): void {
    this.#scripts = 0;
    let process: NftProcess;
    try {
      process = this.#started();
    } catch (error) {
      this.#goesOn(error);
      return;
    }
    const next = { process, answers: false };
    this.#next = next;
    process.exchange("", { timeoutMs: SPAWNED_MS, signal: this.#signal }).then(
      () => {
        next.answers = true;
      },
      (error: unknown) => {
        // Killed by that, and waited for by who disposes.
        if (this.#signal.aborted) return;
        this.#next = null;
        void this.#finish(process);
        this.#goesOn(error);
      },
    );
  }

  #goesOn(error: unknown): void {
    this.#log.warn({ err: error }, "No fresh nft answers; the one before it goes on");
  }

  /** Has the next one serve, if it is there and has answered. */
  #takeNext(): void {
    if (!this.#next?.answers) return;
    const { process } = this.#next;
    this.#next = null;
    if (!process.alive) return;
    void this.#retire();
    this.#process = process;
  }

  /** Gives the process up: it ends by itself or is killed. Resolves when it has ended. */
  #retire(): Promise<void> {
    const old = this.#process;
    this.#process = null;
    this.#scripts = 0;
    return old === null ? Promise.resolve() : this.#finish(old);
  }

  #finish(old: NftProcess): Promise<void> {
    old.finish();
    const timer = setTimeout(() => old.kill(), FINISH_TIMEOUT_MS);
    const gone = old.closed.then(() => {
      clearTimeout(timer);
      this.#retired.delete(gone);
    });
    this.#retired.add(gone);
    return gone;
  }
}
