/** The value that `share` of the samples do not exceed (nearest rank). @throws RangeError when there are none */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  if (value === undefined) throw new RangeError("no samples");
  return value;
}

/** Samples in milliseconds of one thing, and of the least that it could cost, taken in the same run. */
export interface Measured {
  readonly what: string;
  readonly samples: number[];
  readonly floor: number[];
  /** What else was seen, in a sentence. */
  readonly note?: string;
}

/** What a row is asked to measure; it stops between two samples when the signal aborts. */
export interface Wish {
  /** Name of the lab, where one is needed. */
  readonly lab: string;
  readonly elements: number;
  readonly samples: number;
  readonly progress: (text: string) => void;
  readonly signal: AbortSignal;
}
