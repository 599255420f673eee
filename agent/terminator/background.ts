import { delay } from "../../lib/abort.ts";
import { Backoff } from "../../lib/backoff.ts";

/** The longest wait behind a failure, where it is not longer from the first time on. */
const FAILING_MS = 10_000;

/** Work that waits a while, is done once however often it was asked for, and is tried again, less and less often, until it succeeds. */
export class Background implements AsyncDisposable {
  readonly #work: (signal: AbortSignal) => Promise<void>;
  readonly #waitMs: number;
  readonly #signal: AbortSignal;
  readonly #onError: (error: unknown) => void;
  readonly #ending = new AbortController();
  #running: Promise<void> | null = null;
  #asked = false;

  constructor(work: (signal: AbortSignal) => Promise<void>, waitMs: number, signal: AbortSignal, onError: (error: unknown) => void) {
    this.#work = work;
    this.#waitMs = waitMs;
    this.#signal = AbortSignal.any([signal, this.#ending.signal]);
    this.#onError = onError;
  }

  /** Asks for it. While it runs, for once more afterwards. */
  soon(): void {
    this.#asked = true;
    this.#running ??= this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error("no longer wanted"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const backoff = new Backoff({ minMs: this.#waitMs, maxMs: Math.max(this.#waitMs, FAILING_MS) });
    let waitMs = this.#waitMs;
    try {
      while (this.#asked && !this.#signal.aborted) {
        try {
          await delay(waitMs, this.#signal);
          this.#asked = false;
          await this.#work(this.#signal);
          waitMs = this.#waitMs;
          backoff.reset();
        } catch (error) {
          if (this.#signal.aborted) return;
          this.#asked = true;
          waitMs = Math.max(this.#waitMs, backoff.next());
          this.#onError(error);
        }
      }
    } finally {
      // In the same step as the last look at what was asked for: who asks afterwards finds nothing running.
      this.#running = null;
    }
  }
}
