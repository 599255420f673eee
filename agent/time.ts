import type { Clock } from "../lib/clock.ts";

/** Skew beyond this between this host's clock and the registry's is an alarm (invariant 14). */
export const MAX_SKEW_MS = 5_000;

/**
 * Registry time on this host. Once the feed told it, it runs on the monotonic clock, so that a stepped wall clock changes nothing.
 * Before that it is the later of the host's clock and the latest registry time ever seen: a clock set back gives nobody a longer life.
 */
export class RegistryTime {
  readonly #clock: Clock;
  #seenMs: number;
  #anchor: { readonly timeMs: number; readonly monotonicMs: number } | null = null;
  #skewMs = 0;
  #behindMs = 0;

  /** @param seenMs latest registry time that was persisted, 0 when none */
  constructor(clock: Clock, seenMs = 0) {
    this.#clock = clock;
    this.#seenMs = seenMs;
  }

  /** Integer milliseconds since 1970. */
  now(): number {
    if (this.#anchor === null) return Math.max(this.#clock.now(), this.#seenMs);
    return this.#anchor.timeMs + Math.floor(this.#clock.monotonic() - this.#anchor.monotonicMs);
  }

  /** Takes the time of a feed message in; it never goes back below what was seen. */
  observe(registryMs: number): void {
    this.#skewMs = registryMs - this.#clock.now();
    const running = this.#anchor === null ? this.#seenMs : this.now();
    // A message may have waited on the way: only a later time than the running one moves the anchor.
    const timeMs = Math.max(registryMs, running);
    this.#behindMs = timeMs - registryMs;
    this.#anchor = { timeMs, monotonicMs: this.#clock.monotonic() };
    this.#seenMs = Math.max(this.#seenMs, timeMs);
  }

  /** Latest registry time seen, to be persisted. */
  get seenMs(): number {
    return this.#seenMs;
  }

  /** Registry minus host clock at the last message, milliseconds. */
  get skewMs(): number {
    return this.#skewMs;
  }

  /**
   * The registry's last message was from more than {@link MAX_SKEW_MS} before the time that runs here: its clock was ahead once and was set
   * back, and what it grants ends here sooner than it says.
   */
  get registryBehind(): boolean {
    return this.#behindMs > MAX_SKEW_MS;
  }

  /** By how much the registry's last message was from before the time that runs here, milliseconds. */
  get behindMs(): number {
    return this.#behindMs;
  }

  /** The clocks differ by more than {@link MAX_SKEW_MS}. */
  get skewed(): boolean {
    return Math.abs(this.#skewMs) > MAX_SKEW_MS;
  }
}
