import { Bag } from "./bag.ts";

/** Resolves after `ms`, or rejects with the signal's reason at once. The timer does not outlive either. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** A latch that many may wait for and that keeps nothing but "it happened since you last looked". */
export class Wakeup {
  #count = 0;
  readonly #waiting = new Bag<() => void>();

  /** How often it was rung; pass it to `after` to miss nothing. */
  get count(): number {
    return this.#count;
  }

  ring(): void {
    this.#count++;
    for (const done of this.#waiting.empty()) done();
  }

  /**
   * Resolves as soon as the count is above `seen`, or after `waitMs`; rejects with the signal's reason when that comes first. Who waits
   * leaves nothing behind, neither on the bell nor on the signal.
   */
  after(seen: number, signal: AbortSignal, waitMs = Number.POSITIVE_INFINITY): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      if (this.#count > seen) {
        resolve();
        return;
      }
      let timer: NodeJS.Timeout | undefined;
      const leave = () => {
        clearTimeout(timer);
        this.#waiting.remove(held);
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const done = () => {
        leave();
        resolve();
      };
      if (waitMs !== Number.POSITIVE_INFINITY) timer = setTimeout(done, waitMs);
      const held = this.#waiting.add(done);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/**
 * A signal that aborts with the first of others, until it is let go of: for what is made and done with again and again. What
 * `AbortSignal.any` makes stays behind with long-lived signals until the next full collection, and each small one before that copies it:
 * with 20,000 of them the pauses of the collector were twelve times as long (measured).
 */
export class Following implements Disposable {
  readonly #own = new AbortController();
  readonly #others: readonly AbortSignal[];
  readonly #follow: () => void;

  constructor(...others: readonly AbortSignal[]) {
    this.#others = others;
    this.#follow = () => this.#own.abort(others.find(({ aborted }) => aborted)?.reason);
    if (others.some(({ aborted }) => aborted)) this.#follow();
    else for (const other of others) other.addEventListener("abort", this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#own.signal;
  }

  [Symbol.dispose](): void {
    for (const other of this.#others) other.removeEventListener("abort", this.#follow);
  }
}
