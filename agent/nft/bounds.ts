/**
 * A kept-open nft that says nothing for this long is hung and killed. It answers in 0.9 ms, 4 ms at the 99th percentile, and in less
 * than 0.4 s while another nft loads 4,000 elements (measured); a wrong kill costs a new process, 20 ms, and the change is made again.
 */
export const ANSWER_MS = 2_000;
/** A spawned nft with one transaction that takes longer than this is hung, or the kernel is. The largest measured took 0.3 s. */
export const SPAWNED_MS = 10_000;

/** How long one exchange with nft may take, and what ends it early. */
export interface ExchangeOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}
