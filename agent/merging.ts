import { MAX_DIFFERENCES } from "./desired.ts";
import type { Differences } from "./target.ts";

/** Differences that are kept for a target that is late; beyond it that one is resynced whole. */
export const MAX_WAITING = MAX_DIFFERENCES;

/** One entry's difference, whichever kind it is. */
interface Step {
  readonly applied: unknown;
  readonly wanted: unknown;
}

export const sizeOf = ({ rules, trust }: Differences): number => rules.length + trust.length;

/**
 * Two rounds of differences as one, the earlier first, for a target that may have seen any part of what they say already: an entry that
 * came and went meanwhile is told as one that goes, and one that became another and came back as one that changes.
 */
export function mergeDifferences(first: Differences, then: Differences): Differences {
  if (sizeOf(first) === 0) return then;
  if (sizeOf(then) === 0) return first;
  return {
    rules: mergeSteps(first.rules, then.rules, ({ lane, prefix }) => `${lane} ${prefix}`),
    trust: mergeSteps(first.trust, then.trust, ({ target, id }) => `${target} ${id}`),
  };
}

function mergeSteps<T extends Step>(first: readonly T[], then: readonly T[], keyOf: (step: T) => string): T[] {
  const merged = new Map(first.map((step) => [keyOf(step), step]));
  for (const step of then) {
    const before = merged.get(keyOf(step));
    merged.set(keyOf(step), before === undefined ? step : { ...step, applied: before.applied ?? step.applied });
  }
  return [...merged.values()];
}
