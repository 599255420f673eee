import { TABLE } from "../../lib/service.ts";
import type { Rule } from "../desired.ts";
import { addElements, element, lifeSeconds, MAX_ELEMENTS, MIN_ELEMENTS, placeOf } from "./elements.ts";
import { NftError } from "./error.ts";
import { type Slot, setName, type Tuple, tupleSet } from "./sets.ts";
import { addSet } from "./structure.ts";

interface Filled {
  readonly tuple: Tuple;
  readonly elements: string[];
}

/** Where the last rule went: most go where the one before went. */
interface Last {
  readonly lane: Rule["lane"];
  readonly six: boolean;
  /** "/32" */
  readonly length: string;
  readonly elements: string[];
}

/** Elements for one transaction, by the set that they go into. */
export class Part {
  readonly #slot: Slot;
  readonly #sets: ReadonlyMap<string, Filled>;

  constructor(slot: Slot, sets: ReadonlyMap<string, Filled>) {
    this.#slot = slot;
    this.#sets = sets;
  }

  /** How many. */
  get size(): number {
    return [...this.#sets.values()].reduce((sum, { elements }) => sum + elements.length, 0);
  }

  /** Sets that it fills, by name. */
  get tuples(): ReadonlyMap<string, Tuple> {
    return new Map([...this.#sets].map(([name, { tuple }]) => [name, tuple]));
  }

  /** Makes those sets where they are missing, and fills them. */
  get commands(): readonly string[] {
    return [...this.#sets.values()].flatMap(({ tuple, elements }) => [
      addSet(TABLE, tupleSet(tuple, this.#slot)),
      addElements(tuple, this.#slot, elements),
    ]);
  }

  /** The same in two. */
  halves(): readonly Part[] {
    const cut = ({ length }: { readonly length: number }) => Math.ceil(length / 2);
    const half = (take: (elements: string[]) => string[]) => {
      const sets = [...this.#sets].map(([name, { tuple, elements }]) => [name, { tuple, elements: take(elements) }] as const);
      return new Part(this.#slot, new Map(sets.filter(([, { elements }]) => elements.length > 0)));
    };
    return [half((all) => all.slice(0, cut(all))), half((all) => all.slice(cut(all)))];
  }
}

/** All rules as transactions, rendered one at a time, each with the lives that are left at that moment. */
export class ElementLoad {
  readonly #rules: Iterator<Rule>;
  readonly #slot: Slot;
  readonly #now: () => number;
  #most = MAX_ELEMENTS;

  /** @param now registry time, integer milliseconds */
  constructor(rules: Iterable<Rule>, slot: Slot, now: () => number) {
    this.#rules = rules[Symbol.iterator]();
    this.#slot = slot;
    this.#now = now;
  }

  /** The next transaction; null when no rule is left. */
  next(): Part | null {
    const nowMs = this.#now();
    const sets = new Map<string, Filled>();
    let last: Last | undefined;
    for (let count = 0; count < this.#most; ) {
      const { value: rule, done } = this.#rules.next();
      if (done) break;
      const { lane, prefix, expiresAt } = rule;
      const lifeS = lifeSeconds(expiresAt, nowMs);
      if (lifeS === null) continue;
      const slash = prefix.indexOf("/");
      const six = prefix.includes(":");
      if (last?.lane !== lane || last.six !== six || !prefix.endsWith(last.length)) {
        last = { lane, six, length: prefix.slice(slash), elements: this.#listOf(sets, rule) };
      }
      last.elements.push(element(prefix.slice(0, slash), lifeS));
      count++;
    }
    return sets.size === 0 ? null : new Part(this.#slot, sets);
  }

  /**
   * Runs a part, in halves when it is more than the socket to the kernel takes or a set has room for, down to {@link MIN_ELEMENTS}.
   * What comes after it is then rendered that small at once.
   * @throws NftError, the error of the smallest
   */
  async run(part: Part, transaction: (part: Part) => Promise<void>): Promise<void> {
    try {
      await transaction(part);
    } catch (error) {
      const { size } = part;
      if (!(error instanceof NftError) || error.kind !== "full" || size <= MIN_ELEMENTS) throw error;
      this.#most = Math.max(MIN_ELEMENTS, Math.min(this.#most, Math.ceil(size / 2)));
      for (const half of part.halves()) await this.run(half, transaction);
    }
  }

  #listOf(sets: Map<string, Filled>, { lane, prefix }: Rule): string[] {
    const { tuple } = placeOf(lane, prefix);
    const name = setName(tuple, this.#slot);
    const known = sets.get(name);
    if (known !== undefined) return known.elements;
    const elements: string[] = [];
    sets.set(name, { tuple, elements });
    return elements;
  }
}
