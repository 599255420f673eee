import { FEED } from "../../lib/feed/limits.ts";

/** Paces acknowledgements: at once when none was sent lately, else one at the end of the interval for all that came in it. */
export class AckPacer {
  readonly #send: (slowestMs: number) => void;
  #timer: NodeJS.Timeout | null = null;
  #due = false;
  #slowestMs = 0;

  /** @param send tells everything that stands; `slowestMs` is the slowest apply since it was last called */
  constructor(send: (slowestMs: number) => void) {
    this.#send = send;
  }

  /** Something new stands; it took `tookMs`. */
  applied(tookMs: number): void {
    this.#slowestMs = Math.max(this.#slowestMs, tookMs);
    this.#due = true;
    if (this.#timer === null) this.#now();
  }

  /** Nobody listens any more; what took long is told to the next one who does. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#due = false;
  }

  #now(): void {
    this.#due = false;
    this.#send(this.#slowestMs);
    this.#slowestMs = 0;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#due) this.#now();
    }, FEED.ackIntervalMs);
  }
}
