import { Wakeup } from "../../lib/abort.ts";
import { type Acknowledged, readAcknowledged } from "../store/registrations.ts";
import type { Store } from "../store/store.ts";

/** What the agents hold, as it was read at a moment that {@link Progress.changed} can wait on from. */
export interface Look {
  readonly seen: number;
  readonly acknowledged: readonly Acknowledged[];
}

/** How long one reading serves all who look: as long as nobody was woken. Agents come and go without waking anybody. */
const FRESH_MS = 1_000;

/** What the agents acknowledged, read once for all who follow it. */
export class Progress implements Disposable {
  readonly #store: Store;
  readonly #watch: Disposable;
  readonly #wakeup = new Wakeup();
  #last: { readonly seen: number; readonly until: number; readonly look: Promise<Look> } | null = null;

  constructor(store: Store) {
    this.#store = store;
    this.#watch = store.watch("progress", () => this.#wakeup.ring());
  }

  look(): Promise<Look> {
    const seen = this.#wakeup.count;
    const now = performance.now();
    if (this.#last === null || this.#last.seen !== seen || now > this.#last.until) {
      const look = this.#store.read(readAcknowledged).then((acknowledged) => ({ seen, acknowledged }));
      this.#last = { seen, until: now + FRESH_MS, look };
    }
    return this.#last.look;
  }

  /** Resolves when agents acknowledged something since that look, or after `waitMs`; rejects with the signal's reason. */
  changed({ seen }: Look, waitMs: number, signal: AbortSignal): Promise<void> {
    return this.#wakeup.after(seen, signal, waitMs);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}
