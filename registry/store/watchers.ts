import type { Log } from "../../lib/log.ts";
import type { Topic } from "./store.ts";

/** Who wants to hear of which topic. */
export class Watchers {
  readonly #log: Log;
  readonly #listeners = new Map<Topic, Set<() => void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  add(topic: Topic, listener: () => void): Disposable {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners);
    // A function of its own, so that the same listener may watch twice.
    const own = () => listener();
    listeners.add(own);
    return { [Symbol.dispose]: () => listeners.delete(own) };
  }

  /** A listener that throws does not keep the news from the others. */
  wake(topics: Iterable<Topic>): void {
    for (const topic of topics) {
      for (const listener of [...(this.#listeners.get(topic) ?? [])]) {
        try {
          listener();
        } catch (error) {
          this.#log.error({ topic, err: error }, "A watcher of Storage failed");
        }
      }
    }
  }
}
