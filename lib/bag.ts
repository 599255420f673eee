/** A member of a {@link Bag}. */
export interface Held<T> {
  readonly value: T;
  /** Where it stands; -1 once it is out. */
  at: number;
}

/**
 * Holds what comes and goes all the time. A `Map` or `Set` makes a new table every few entries that come and go, the old one leads to the
 * new one and to all that stood in it, and once one of them has grown old nothing in that chain is collected before the next full
 * collection: most of what requests left behind was copied twice for it, in pauses of tens of milliseconds (measured). Order is not kept.
 */
export class Bag<T> {
  #held: Held<T>[] = [];

  get size(): number {
    return this.#held.length;
  }

  add(value: T): Held<T> {
    const held = { value, at: this.#held.length };
    this.#held.push(held);
    return held;
  }

  /** @returns false when it was out already */
  remove(held: Held<T>): boolean {
    const { at } = held;
    if (at < 0) return false;
    held.at = -1;
    // The last takes its place.
    const last = this.#held.pop();
    if (last !== undefined && last !== held) {
      this.#held[at] = last;
      last.at = at;
    }
    return true;
  }

  values(): readonly T[] {
    return this.#held.map(({ value }) => value);
  }

  /** Takes all of them out. */
  empty(): readonly T[] {
    const held = this.#held;
    this.#held = [];
    for (const each of held) each.at = -1;
    return held.map(({ value }) => value);
  }
}
