import { delay } from "../../lib/abort.ts";

/** What was waited for did not come in time. */
export class TimeoutError extends Error {}

/**
 * Asks again and again until the answer is not undefined.
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
    const answer = await check();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new TimeoutError(`Waited ${timeoutMs} ms in vain for ${what}`);
    await delay(everyMs, signal);
  }
}
