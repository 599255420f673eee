import { NftError } from "./error.ts";

/**
 * A kept-open nft that says nothing for this long is hung and killed. It answers in 0.9 ms, 4 ms at the 99th percentile, and in less
 * than 0.4 s while another nft loads 4,000 elements (measured); a wrong kill costs a new process, 20 ms, and the change is made again.
 */
export const ANSWER_MS = 2_000;
/** A spawned nft with one transaction that takes longer than this is hung, or the kernel is. The largest measured took 0.3 s. */
export const SPAWNED_MS = 10_000;

/** An nft that answers slowly is waited for this many times as long as an answer took, for a minute. */
const SLACK = 4;
const SLOW_FOR_MS = 60_000;

/**
 * How long the kept-open nft is waited for: {@link ANSWER_MS}, and longer where that proves too short, up to {@link SPAWNED_MS}. On a host
 * where each change takes seconds nothing would else ever be done: each nft would be killed over it, and the next one too.
 */
export class Patience {
  readonly #now: () => number;
  #slow: { readonly ms: number; readonly untilMs: number };

  /** Before the first answer nobody knows how long it takes to start. @param now monotonic milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#slow = { ms: SPAWNED_MS, untilMs: Number.POSITIVE_INFINITY };
  }

  get ms(): number {
    return this.#now() < this.#slow.untilMs ? this.#slow.ms : ANSWER_MS;
  }

  /** Learns from how the work ends. */
  async of<T>(work: () => Promise<T>): Promise<T> {
    const startedMs = this.#now();
    try {
      const answer = await work();
      const starting = this.#slow.untilMs === Number.POSITIVE_INFINITY;
      this.#learn(SLACK * (this.#now() - startedMs), starting ? ANSWER_MS : this.ms);
      return answer;
    } catch (error) {
      if (error instanceof NftError && error.kind === "timeout") this.#learn(2 * this.ms, this.ms);
      throw error;
    }
  }

  /** Quick answers take back no patience that a slow one gave: a command that costs nothing is quick on any host. */
  #learn(wantedMs: number, leastMs: number): void {
    const now = this.#now();
    if (wantedMs > ANSWER_MS) this.#slow = { ms: Math.min(SPAWNED_MS, Math.max(leastMs, wantedMs)), untilMs: now + SLOW_FOR_MS };
    else if (this.#slow.untilMs === Number.POSITIVE_INFINITY) this.#slow = { ms: ANSWER_MS, untilMs: now };
  }
}

/** How long one exchange with nft may take, and what ends it early. */
export interface ExchangeOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}
