import type { Clock } from "../../lib/clock.ts";

/** How long a revision took until it stood on every host with a live feed. */
export interface Spread {
  readonly revision: number;
  readonly agents: number;
  readonly ms: number;
}

/** An agent that does not apply must not keep the timer from all later revisions. */
const GIVE_UP_MS = 60_000;

/**
 * Times revisions from the moment the feed learnt of them to the last agent's acknowledgement. One revision at a time is timed, the
 * newest when the one before is done, so the cost is one comparison an acknowledgement however many change.
 */
export class SpreadTimer {
  readonly #clock: Clock;
  readonly #onSpread: (spread: Spread) => void;
  #head = 0;
  #headAt = 0;
  #timed: { readonly revision: number; readonly at: number; readonly agents: number; readonly waiting: Set<string> } | null = null;
  #last: Spread | null = null;

  constructor(clock: Clock, onSpread: (spread: Spread) => void = () => {}) {
    this.#clock = clock;
    this.#onSpread = onSpread;
  }

  /** The newest that was timed to its end; null while there is none. */
  get last(): Spread | null {
    return this.#last;
  }

  /** @param behind names of the agents that follow and do not have it yet */
  head(revision: number, behind: () => Iterable<string>): void {
    this.#head = revision;
    this.#headAt = this.#clock.monotonic();
    if (this.#timed === null || this.#headAt - this.#timed.at > GIVE_UP_MS) this.#begin(behind);
  }

  acknowledged(name: string, revision: number, behind: () => Iterable<string>): void {
    const timed = this.#timed;
    if (timed === null || revision < timed.revision || !timed.waiting.delete(name) || timed.waiting.size > 0) return;
    this.#last = { revision: timed.revision, agents: timed.agents, ms: this.#clock.monotonic() - timed.at };
    this.#timed = null;
    this.#onSpread(this.#last);
    if (this.#head > timed.revision) this.#begin(behind);
  }

  /** The agent's feed ended: nobody waits for it. */
  left(name: string): void {
    if (this.#timed?.waiting.delete(name) && this.#timed.waiting.size === 0) this.#timed = null;
  }

  #begin(behind: () => Iterable<string>): void {
    const waiting = new Set(behind());
    this.#timed = null;
    if (waiting.size === 0) return;
    this.#timed = { revision: this.#head, at: this.#headAt, agents: waiting.size, waiting };
  }
}
