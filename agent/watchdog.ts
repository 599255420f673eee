import { delay } from "../lib/abort.ts";
import type { Log } from "../lib/log.ts";

/** A part that the gate hangs on, and that can be asked whether it still works. */
export interface Living {
  readonly name: string;
  /** Resolves when the part answered. Rejects, or never settles, when it does not work. */
  answers(signal: AbortSignal): Promise<void>;
}

export interface WatchdogOptions {
  readonly parts: readonly Living[];
  /** Pause between two rounds, milliseconds. */
  readonly everyMs: number;
  /** Told once a round: the parts that did not answer. Only with none of them is the agent alive. */
  readonly onRound: (silent: readonly string[]) => Promise<void> | void;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Asks every part in turns for as long as the signal lets it. A part that never answers ends the rounds, and a hung event loop
 * does so too: then nobody tells systemd that this agent is alive, and systemd starts it anew.
 */
export async function watchOver({ parts, everyMs, onRound, log, signal }: WatchdogOptions): Promise<void> {
  while (!signal.aborted) {
    const silent: string[] = [];
    await Promise.all(
      parts.map(async (part) => {
        try {
          await part.answers(signal);
        } catch (error) {
          if (!signal.aborted) log.error({ err: error, part: part.name }, "A part does not answer");
          silent.push(part.name);
        }
      }),
    );
    if (signal.aborted) return;
    await onRound(silent);
    await delay(everyMs, signal).catch(() => {});
  }
}
