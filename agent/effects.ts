import { delay } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import type { Log } from "../lib/log.ts";
import type { DesiredState, Pending } from "./desired.ts";
import type { Target } from "./target.ts";

export const RETRY_MS = { minMs: 20, maxMs: 5_000 } as const;

/** What became of one round over all targets. */
export interface Round {
  /** The first target, the gate in the kernel, is as shown. */
  readonly gate: boolean;
  /** One failed, was told of in the log, and is held until its wait is over; or is still held. */
  readonly failed: boolean;
}

/** Says that a failure is to be tried again, and waits that long. */
export async function waitToRetry(error: unknown, backoff: Backoff, log: Log, signal: AbortSignal): Promise<void> {
  const waitMs = backoff.next();
  log.error({ err: error, waitMs }, "Cannot apply; nothing is given up, trying again");
  await delay(waitMs, signal).catch(() => {});
}

/** The targets, in the order of effects, and which of them are to be resynced or left alone for a while. */
export class Effects {
  readonly #targets: readonly Target[];
  readonly #log: Log;
  readonly #onReleased: () => void;
  /** Targets whose reality is not known: they are resynced, the others get the differences. */
  readonly #due: Set<Target>;
  /** Targets that failed and are not tried again yet, each with its own growing wait. */
  readonly #held = new Set<Target>();
  readonly #backoffs = new Map<Target, Backoff>();

  /** @param onReleased a target that failed may be tried again */
  constructor(targets: readonly Target[], log: Log, onReleased: () => void) {
    this.#targets = targets;
    this.#log = log;
    this.#onReleased = onReleased;
    this.#due = new Set(targets);
  }

  get due(): boolean {
    return this.#due.size > 0;
  }

  /** @param targets which are to be resynced, all of them by default */
  makeDue(targets: readonly Target[] = this.#targets): void {
    for (const target of targets) this.#due.add(target);
  }

  /**
   * One that fails holds up none of the others: what is taken back is taken back wherever it can be, at once. It is resynced whole when
   * its wait is over, so the differences count as acknowledged by the others' word: what comes back meanwhile is a difference again.
   * @param closed targets are shown nothing: those that are not due have nothing to do
   */
  async round(shown: DesiredState, pending: Pending, closed: boolean, signal: AbortSignal): Promise<Round> {
    let [gate, failed] = [false, false];
    for (const [index, target] of this.#targets.entries()) {
      if (this.#held.has(target)) {
        failed = true;
        continue;
      }
      // Taken off before: whoever reports a change while it runs puts it back on.
      const due = this.#due.delete(target);
      try {
        if (due) await target.resync(shown, signal);
        else if (!closed) await target.apply(shown, pending, signal);
        this.#backoffs.delete(target);
        if (index === 0) gate = true;
      } catch (error) {
        this.#due.add(target);
        failed = true;
        if (!signal.aborted) this.#hold(target, error, signal);
      }
    }
    return { gate, failed };
  }

  #hold(target: Target, error: unknown, signal: AbortSignal): void {
    const backoff = this.#backoffs.get(target) ?? new Backoff(RETRY_MS);
    this.#backoffs.set(target, backoff);
    this.#held.add(target);
    void waitToRetry(error, backoff, this.#log, signal).then(() => {
      this.#held.delete(target);
      this.#onReleased();
    });
  }
}
