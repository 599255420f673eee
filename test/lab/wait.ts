import { delay } from "../../lib/abort.ts";

/** Longest pause after a look that took as long. */
const MAX_REST_MS = 250;

/** What was waited for did not come in time. */
export class TimeoutError extends Error {}

/**
 * Asks again and again until the answer is not undefined, with a pause in between that is as long as the look before it, where that took longer.
 * @throws TimeoutError after `timeoutMs`, whatever `check` throws at once, and the signal's reason
 */
export async function waitFor<T>(
  what: string,
  check: () => T | undefined | Promise<T | undefined>,
  options: { readonly timeoutMs?: number; readonly everyMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<T> {
  const { timeoutMs = 10_000, everyMs = 10, signal = new AbortController().signal } = options;
  const end = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const began = performance.now();
    const answer = await check();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new TimeoutError(`Waited ${timeoutMs} ms in vain for ${what}`);
    // Who starts a program to look keeps the machine from what is waited for.
    await delay(Math.max(everyMs, Math.min(performance.now() - began, MAX_REST_MS)), signal);
  }
}

/**
 * What the work comes to, if it does in time: for what has no bound of its own. The work is not ended.
 * @param what asked when time is over, so that it can tell how far the work is
 * @throws TimeoutError
 */
export async function within<T>(what: () => string, ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new TimeoutError(`Waited ${ms} ms in vain for ${what()}`)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
