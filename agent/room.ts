import { FEED } from "../lib/feed/limits.ts";
import { TRUST_TARGETS, type TrustTarget } from "../lib/feed/messages.ts";

/** Entries that the registry names, whether they reach a target or not. */
export interface Counts {
  readonly rules: number;
  readonly trust: Readonly<Record<TrustTarget, number>>;
}

const MOST: Counts = { rules: FEED.maxRules, trust: FEED.maxTrustOf };

/**
 * What of a state is more than any host takes, in words: this bounds the agent's memory, whatever the registry says (invariant 13).
 * Trust is bounded target by target, because a CRL weighs a thousand times what a certificate does.
 * @param before counts that may stay as they are: what does not grow passes, so that a removal is never held up
 * @returns null when all has room
 */
export function tooMuch(counts: Counts, before: Counts = MOST): string | null {
  if (counts.rules > Math.max(before.rules, MOST.rules)) return `${counts.rules} rules`;
  const target = TRUST_TARGETS.find((one) => counts.trust[one] > Math.max(before.trust[one], MOST.trust[one]));
  return target === undefined ? null : `${counts.trust[target]} trust entries of kind '${target}'`;
}
