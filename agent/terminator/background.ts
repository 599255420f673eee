import { delay } from "../../lib/abort.ts";

/** Work that waits a while, is done once however often it was asked for, and is tried again until it succeeds. */
export class Background implements AsyncDisposable {
  readonly #work: () => Promise<void>;
  readonly #waitMs: number;
  readonly #signal: AbortSignal;
  readonly #onError: (error: unknown) => void;
  readonly #ending = new AbortController();
  #running: Promise<void> | null = null;
  #asked = false;

  constructor(work: () => Promise<void>, waitMs: number, signal: AbortSignal, onError: (error: unknown) => void) {
    this.#work = work;
    this.#waitMs = waitMs;
    this.#signal = AbortSignal.any([signal, this.#ending.signal]);
    this.#onError = onError;
  }

  /** Asks for it. While it runs, for once more afterwards. */
  soon(): void {
    this.#asked = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error("no longer wanted"));
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#asked && !this.#signal.aborted) {
      try {
        await delay(this.#waitMs, this.#signal);
        this.#asked = false;
        await this.#work();
      } catch (error) {
        if (this.#signal.aborted) return;
        this.#asked = true;
        this.#onError(error);
      }
    }
  }
}
