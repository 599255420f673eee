/** Newest changes kept in memory, ready to send; a feed further behind reads Storage. */
const MAX_CHANGES = 10_000;
/** What they may be together; one larger than this is kept alone. */
const MAX_CHARS = 32 << 20;

/** The end of the change log, as JSON texts of revisions without a gap. */
export class RecentChanges {
  /** #bodies[i] is revision #first + i. */
  #bodies: string[] = [];
  #first: number;
  #chars = 0;

  /** @param revision the one before the first that will be pushed */
  constructor(revision: number) {
    this.#first = revision + 1;
  }

  /** The newest revision that was pushed. */
  get last(): number {
    return this.#first + this.#bodies.length - 1;
  }

  /** Whether it is worth reading on to `revision`, or better to begin there. */
  reaches(revision: number): boolean {
    return revision >= this.last && revision - this.last <= MAX_CHANGES;
  }

  restart(revision: number): void {
    this.#bodies = [];
    this.#chars = 0;
    this.#first = revision + 1;
  }

  /** Adds the next revision; the oldest make room. */
  push(body: string): void {
    this.#bodies.push(body);
    this.#chars += body.length;
    // Cut in blocks, because cutting moves what is left.
    if (this.#bodies.length < MAX_CHANGES * 1.25 && this.#chars < MAX_CHARS) return;
    let cut = 0;
    while (this.#bodies.length - cut > 1 && (this.#bodies.length - cut > MAX_CHANGES || this.#chars >= MAX_CHARS)) {
      this.#chars -= this.#bodies[cut]?.length ?? 0;
      cut++;
    }
    this.#bodies = this.#bodies.slice(cut);
    this.#first += cut;
  }

  /** Revisions from `from` on, at most `limit`; null when memory does not reach back. */
  from(from: number, limit: number): readonly string[] | null {
    if (from < this.#first || from > this.last) return null;
    return this.#bodies.slice(from - this.#first, from - this.#first + limit);
  }
}
