import type { ServerResponse } from "node:http";
import { REGISTER } from "./limits.ts";

/**
 * The answers that are under way. Whoever closes a listener waits for them first: Node cuts a connection as idle
 * once its answer was ended, even while the last bytes of it are still on their way out.
 */
export class LastAnswers {
  /** Counted, not held: a set that is never at rest keeps its past, see `Bag`. */
  #open = 0;
  #none: (() => void) | null = null;

  add(answer: ServerResponse): void {
    this.#open++;
    answer.once("close", () => {
      this.#open--;
      if (this.#open === 0) this.#none?.();
    });
  }

  /** Resolves once all of them have left or lost their readers. @returns false when some had not after {@link REGISTER.lastAnswersMs} */
  async left(): Promise<boolean> {
    if (this.#open === 0) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#none = () => resolve(true);
    const timer = setTimeout(() => resolve(false), REGISTER.lastAnswersMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
