import type { Problem } from "../../lib/problem.ts";
import { readCodeKeys } from "../store/registrations.ts";
import type { Builder, Command, Store } from "../store/store.ts";
import type { Attempt, Attempts } from "./attempts.ts";

interface Asked {
  readonly attempt: Attempt;
  readonly selector: string;
  readonly resolve: (key: string | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Looks up the public keys of codes, and whether their proofs may be tried, once for all that ask in one turn of the event loop: what
 * comes together costs a few statements instead of two for each, and its checks begin together.
 */
export class CodeKeys {
  readonly #store: Store;
  readonly #attempts: Attempts;
  #asked: Asked[] = [];

  constructor(store: Store, attempts: Attempts) {
    this.#store = store;
    this.#attempts = attempts;
  }

  /** The key of the code that signed; null when there is no such code. @throws Problem proofs_limited */
  of(attempt: Attempt, selector: string): Promise<string | null> {
    return new Promise((resolve, reject) => {
      if (this.#asked.length === 0) setImmediate(() => void this.#answer());
      this.#asked.push({ attempt, selector, resolve, reject });
    });
  }

  async #answer(): Promise<void> {
    const asked = this.#asked;
    this.#asked = [];
    try {
      const { refusals, keys } = await this.#store.read((db) => this.#lookUp(db, asked));
      for (const [index, { selector, resolve, reject }] of asked.entries()) {
        const refusal = refusals[index] ?? null;
        if (refusal === null) resolve(keys.get(selector) ?? null);
        else reject(refusal);
      }
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  *#lookUp(
    db: Builder,
    asked: readonly Asked[],
  ): Command<{ readonly refusals: readonly (Problem | null)[]; readonly keys: ReadonlyMap<string, string> }> {
    const refusals = yield* this.#attempts.refusals(
      db,
      asked.map(({ attempt }) => attempt),
    );
    const open = asked.filter((_, index) => refusals[index] === null);
    return { refusals, keys: yield* readCodeKeys(db, [...new Set(open.map(({ selector }) => selector))]) };
  }
}
