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
  readonly #waiting = new Set<() => void>();

  /** How often it was rung; pass it to `after` to miss nothing. */
  get count(): number {
    return this.#count;
  }

  ring(): void {
    this.#count++;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }

  /** Resolves as soon as the count is above `seen`; rejects with the signal's reason when that comes first. */
  after(seen: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      if (this.#count > seen) {
        resolve();
        return;
      }
      const onAbort = () => {
        this.#waiting.delete(done);
        reject(signal.reason);
      };
      const done = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/** Resolves when `rung` was rung since `seen`, or after `waitMs`; rejects with the signal's reason when that comes first. */
export async function rungOrDelayed(rung: Wakeup, seen: number, waitMs: number, signal: AbortSignal): Promise<void> {
  const either = new AbortController();
  const both = AbortSignal.any([signal, either.signal]);
  try {
    await Promise.race([rung.after(seen, both), delay(waitMs, both)]);
  } finally {
    either.abort(new Error("woken"));
  }
}
