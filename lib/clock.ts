/** The one place that reads the clock. `now` is wall time in integer milliseconds; `monotonic` never steps, milliseconds. */
export interface Clock {
  now(): number;
  monotonic(): number;
}

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
