import { setImmediate } from "node:timers/promises";
import type { Replacement } from "./state.ts";

/**
 * The whole state on its way to disk, a slice at a time, so that everything else goes on in between: the targets, the feed's heartbeats,
 * the status socket. A disk that fails is told by {@link commit} alone. Disposing without it leaves what was saved before.
 */
export class Saving implements AsyncDisposable {
  readonly #written: Promise<void>;
  #whole: Replacement | null = null;
  #failure: { readonly error: unknown } | null = null;
  #over = false;

  /** @param begin the state must not change from then on until this is disposed of */
  constructor(begin: () => Replacement) {
    this.#written = this.#write(begin);
  }

  /** Durable when it resolves. @throws what the disk's failure was */
  async commit(): Promise<void> {
    await this.#written;
    if (this.#failure !== null) throw this.#failure.error;
    this.#whole?.commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#written;
    this.#whole?.[Symbol.dispose]();
  }

  async #write(begin: () => Replacement): Promise<void> {
    try {
      this.#whole = begin();
      while (!this.#over && this.#whole.step()) await setImmediate();
    } catch (error) {
      this.#failure = { error };
    }
  }
}
