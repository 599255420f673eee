/** One entry that differs from what was acknowledged; null is absent. */
export interface Entry<V> {
  readonly key: string;
  readonly applied: V | null;
  readonly wanted: V | null;
}

/** Where values are kept by key; a Map, or something smaller. */
export interface Keyed<V> {
  readonly size: number;
  get(key: string): V | undefined;
  set(key: string, value: V): unknown;
  delete(key: string): unknown;
  /** In the order that they came; entries may come and go meanwhile. */
  entries(): IterableIterator<[string, V]>;
  keys(): IterableIterator<string>;
}

/**
 * What is wanted under each key, and how that differs from what was acknowledged. Only the differences are kept twice.
 * Taking the same value in again is no difference, and a value that is back where it was ends one, unless returns are kept.
 */
export class Tracked<V extends number | string> {
  #wanted: Keyed<V>;
  /** Per changed key, the value that is acknowledged; null when none is. */
  #pending = new Map<string, V | null>();

  readonly #keepsReturns: boolean;

  /**
   * @param wanted empty; a Map unless many are to be kept
   * @param options.keepsReturns what came and went before it was acknowledged stays a difference, from a value to the same: for those who
   *   read what is wanted at a moment of their own, and may have seen what was in between
   */
  constructor(wanted: Keyed<V> = new Map<string, V>(), { keepsReturns = false } = {}) {
    this.#wanted = wanted;
    this.#keepsReturns = keepsReturns;
  }

  get size(): number {
    return this.#wanted.size;
  }

  get pendingSize(): number {
    return this.#pending.size;
  }

  get(key: string): V | null {
    return this.#wanted.get(key) ?? null;
  }

  entries(): IterableIterator<[string, V]> {
    return this.#wanted.entries();
  }

  /** @param value null removes */
  set(key: string, value: V | null): void {
    const old = this.get(key);
    if (old === value) return;
    this.fill(key, value);
    if (!this.#pending.has(key)) this.#pending.set(key, old);
    else if (!this.#keepsReturns && this.#pending.get(key) === value) this.#pending.delete(key);
  }

  /** As {@link set}, without keeping a difference: for what is adopted, resynced or saved whole. */
  fill(key: string, value: V | null): void {
    if (value === null) this.#wanted.delete(key);
    else this.#wanted.set(key, value);
  }

  /** The differences at this moment; pass the same array to {@link acknowledge}. */
  differences(): Entry<V>[] {
    return [...this.#pending].map(([key, applied]) => ({ key, applied, wanted: this.get(key) }));
  }

  /** These values are in force: what changed again meanwhile stays pending against the value just acknowledged. */
  acknowledge(entries: Iterable<Pick<Entry<V>, "key" | "wanted">>): void {
    for (const { key, wanted } of entries) {
      if (this.get(key) === wanted) this.#pending.delete(key);
      else this.#pending.set(key, wanted);
    }
    if (this.#pending.size === 0) this.acknowledgeAll();
  }

  acknowledgeAll(): void {
    // A new one: what a map held before stays within its reach, see `Bag`.
    this.#pending = new Map();
  }

  /**
   * Wants what `next` wants (it must not be used afterwards), keeping how that differs from what is acknowledged.
   * @returns false when more than `most` differ: then none are kept
   */
  adopt(next: Tracked<V>, most: number): boolean {
    const differences = this.#differencesTo(next, most);
    this.#wanted = next.#wanted;
    this.#pending = differences ?? new Map();
    return differences !== null;
  }

  #acknowledged(key: string): V | null {
    return this.#pending.has(key) ? (this.#pending.get(key) ?? null) : this.get(key);
  }

  #differencesTo(next: Tracked<V>, most: number): Map<string, V | null> | null {
    const differences = new Map<string, V | null>();
    for (const [key, wanted] of next.#wanted.entries()) {
      const applied = this.#acknowledged(key);
      if (applied !== wanted) differences.set(key, applied);
      if (differences.size > most) return null;
    }
    for (const known of [this.#wanted, this.#pending]) {
      for (const key of known.keys()) {
        const applied = this.#acknowledged(key);
        const returned = this.#keepsReturns && known === this.#pending;
        if (returned || (applied !== null && next.get(key) === null)) differences.set(key, applied);
        if (differences.size > most) return null;
      }
    }
    return differences;
  }
}

/** Sets a value, with or without keeping the difference; null removes. */
export function put<V extends number | string>(tracked: Tracked<V>, key: string, value: V | null, track: boolean): void {
  if (track) tracked.set(key, value);
  else tracked.fill(key, value);
}
