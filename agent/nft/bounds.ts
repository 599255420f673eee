/** How long one exchange with nft may take, and what ends it early. */
export interface ExchangeOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}
