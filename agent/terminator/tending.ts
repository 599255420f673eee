import { delay } from "../../lib/abort.ts";
import type { Log } from "../../lib/log.ts";

/** How often it is looked after open connections. */
const TEND_MS = 10_000;

export interface TendingOptions {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly tendMs?: number;
}

/** Looks after open connections every so often until it is disposed. A failure is told, and the next look comes as ever. */
export class Tending implements AsyncDisposable {
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;

  constructor({ log, signal, tendMs = TEND_MS }: TendingOptions, look: (signal: AbortSignal) => Promise<void>) {
    this.#running = this.#run(tendMs, AbortSignal.any([signal, this.#ending.signal]), look, log);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error("no longer wanted"));
    await this.#running;
  }

  async #run(everyMs: number, signal: AbortSignal, look: (signal: AbortSignal) => Promise<void>, log: Log): Promise<void> {
    while (!signal.aborted) {
      try {
        await delay(everyMs, signal);
        await look(signal);
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, "Cannot look after open connections");
      }
    }
  }
}
