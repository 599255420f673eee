import { TABLE } from "../../lib/service.ts";
import type { Rule } from "../desired.ts";
import { addElements, element, lifeSeconds, MAX_ELEMENTS, placeOf } from "./elements.ts";
import { type Slot, setName, type Tuple, tupleSet } from "./sets.ts";
import { addSet } from "./structure.ts";

/** One transaction of a load: at most {@link MAX_ELEMENTS} elements. */
export interface Part {
  /** Sets that it fills, by name. */
  readonly tuples: ReadonlyMap<string, Tuple>;
  /** Makes those sets where they are missing, and fills them. */
  readonly commands: readonly string[];
}

/** All rules as transactions, rendered one at a time, each with the lives that are left at that moment. */
export class ElementLoad {
  readonly #rules: Iterator<Rule>;
  readonly #slot: Slot;
  readonly #now: () => number;

  /** @param now registry time, integer milliseconds */
  constructor(rules: Iterable<Rule>, slot: Slot, now: () => number) {
    this.#rules = rules[Symbol.iterator]();
    this.#slot = slot;
    this.#now = now;
  }

  /** The next transaction; null when no rule is left. */
  next(): Part | null {
    const nowMs = this.#now();
    const tuples = new Map<string, Tuple>();
    const elements = new Map<string, string[]>();
    for (let count = 0; count < MAX_ELEMENTS; ) {
      const { value: rule, done } = this.#rules.next();
      if (done) break;
      const lifeS = lifeSeconds(rule.expiresAt, nowMs);
      if (lifeS === null) continue;
      const { tuple, address } = placeOf(rule.lane, rule.prefix);
      const name = setName(tuple, this.#slot);
      const list = elements.get(name) ?? [];
      if (list.length === 0) {
        elements.set(name, list);
        tuples.set(name, tuple);
      }
      list.push(element(address, lifeS));
      count++;
    }
    if (tuples.size === 0) return null;
    const commands = [...tuples].flatMap(([name, tuple]) => [
      addSet(TABLE, tupleSet(tuple, this.#slot)),
      addElements(tuple, this.#slot, elements.get(name) ?? []),
    ]);
    return { tuples, commands };
  }
}
