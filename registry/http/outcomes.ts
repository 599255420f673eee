import { Bag } from "../../lib/bag.ts";
import type { Log } from "../../lib/log.ts";
import { type Acknowledged, MAX_OUTCOMES, type OutcomeRow, readAcknowledged, readOutcomes } from "../store/registrations.ts";
import type { Store } from "../store/store.ts";
import { REGISTER } from "./limits.ts";

/** An outcome, and what the agents hold at this moment. */
export interface Told {
  readonly outcome: OutcomeRow;
  readonly acknowledged: readonly Acknowledged[];
}

interface Waiting {
  readonly id: string;
  readonly done: (told: Told | null) => void;
}

/** Where registrations wait for their outcomes: each wake asks Storage once for all that wait, and who comes later than a wake for itself. */
export class Outcomes implements Disposable {
  readonly #store: Store;
  readonly #log: Log;
  readonly #watch: Disposable;
  readonly #waiting = new Bag<Waiting>();
  #wakes = 0;
  #looking = false;
  /** Whose outcomes may be there: everybody's after a wake, else of those who came since. */
  #due: Waiting[] = [];
  #closed = false;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#watch = store.watch("outcome", () => {
      this.#wakes++;
      this.#due = [...this.#waiting.values()];
      this.#look();
    });
  }

  /** How often outcomes came; take it before a submission is stored and hand it to {@link wait}. */
  get wakes(): number {
    return this.#wakes;
  }

  /** The outcome of a submission; null when it does not come in time, too many wait, or the registry stops. */
  wait(id: string, seen: number | null, timeoutMs: number): Promise<Told | null> {
    if (this.#closed || this.#waiting.size >= REGISTER.maxWaiting) return Promise.resolve(null);
    return new Promise((resolve) => {
      const done = (told: Told | null): void => {
        clearTimeout(timer);
        if (this.#waiting.remove(held)) resolve(told);
      };
      const timer = setTimeout(() => done(null), timeoutMs);
      const waiting: Waiting = { id, done };
      const held = this.#waiting.add(waiting);
      if (seen === this.#wakes) return;
      this.#due.push(waiting);
      this.#look();
    });
  }

  /** Everyone who waits is told that there is no outcome yet. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#watch[Symbol.dispose]();
    for (const { done } of this.#waiting.values()) done(null);
  }

  #look(): void {
    if (this.#looking || this.#due.length === 0) return;
    this.#looking = true;
    const due = this.#due;
    this.#due = [];
    this.#tell(due)
      .catch((error: unknown) => this.#log.error({ err: error }, "Cannot read outcomes; those who wait are told 'stored'"))
      .finally(() => {
        this.#looking = false;
        this.#look();
      });
  }

  async #tell(due: readonly Waiting[]): Promise<void> {
    const asking = Map.groupBy(due, ({ id }) => id);
    const ids = [...asking.keys()];
    for (let at = 0; at < ids.length; at += MAX_OUTCOMES) {
      const page = ids.slice(at, at + MAX_OUTCOMES);
      const { outcomes, acknowledged } = await this.#store.read(function* (db) {
        const outcomes = yield* readOutcomes(db, page);
        return { outcomes, acknowledged: outcomes.length === 0 ? [] : yield* readAcknowledged(db) };
      });
      for (const outcome of outcomes) {
        for (const { done } of asking.get(outcome.submission) ?? []) done({ outcome, acknowledged });
      }
    }
  }
}
