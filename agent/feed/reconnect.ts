import { Backoff } from "../../lib/backoff.ts";
import { CLOSE, FEED } from "../../lib/feed/limits.ts";

/** How a connection ended. */
export interface Ending {
  /** WebSocket close code; null when there was none. */
  readonly code: number | null;
  /** The registry had said that it would end it, and over how long its agents may come back. */
  readonly spreadMs: number | null;
}

/** What to do next. `planned` is no alarm. */
export interface Next {
  readonly address: string;
  readonly waitMs: number;
  readonly planned: boolean;
}

/**
 * When and where to connect again. A planned end: at a random moment of the window, so that a thousand agents are no herd, and soon
 * where there is another address. Another program with our name: a long wait, so that two do not fight in circles. Else growing waits.
 */
export class ReconnectPlan {
  readonly #addresses: readonly string[];
  readonly #random: () => number;
  readonly #backoff: Backoff;
  #at = 0;

  constructor(addresses: readonly string[], random: () => number = Math.random) {
    this.#addresses = addresses;
    this.#random = random;
    this.#backoff = new Backoff({ minMs: FEED.reconnectMinMs, maxMs: FEED.reconnectMaxMs, random });
  }

  get address(): string {
    return this.#addresses[this.#at % this.#addresses.length] ?? "";
  }

  /** The registry works: the next loss is a new one. */
  works(): void {
    this.#backoff.reset();
  }

  /** Takes the next address. */
  after({ code, spreadMs }: Ending): Next {
    this.#at++;
    const { address } = this;
    if (spreadMs !== null) {
      const windowMs = this.#addresses.length > 1 ? Math.min(spreadMs, FEED.reconnectMinMs) : spreadMs;
      return { address, waitMs: Math.round(windowMs * this.#random()), planned: true };
    }
    if (code === CLOSE.replaced) return { address, waitMs: Math.round(FEED.replacedWaitMs * (0.5 + this.#random() / 2)), planned: false };
    return { address, waitMs: this.#backoff.next(), planned: false };
  }
}
