import { delay } from "../lib/abort.ts";
import type { Log } from "../lib/log.ts";
import type { AgentConfig } from "./config.ts";
import type { DesiredState } from "./desired.ts";
import type { Comparison } from "./nft/compare.ts";

/** How often it is looked whether a comparison is due: the configuration may change. */
const LOOK_MS = 1_000;

export interface ComparingOptions {
  readonly config: () => AgentConfig["compare"];
  readonly desired: DesiredState;
  readonly target: { compare(desired: DesiredState, upTo: number, signal: AbortSignal): Promise<Comparison | null> };
  /** Nothing is compared while this is true: what stands is closed on purpose, or about to be written anew. */
  readonly unsettled: () => boolean;
  readonly onForeign: (elements: readonly string[]) => void;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The rare, slow look at the kernel's elements: the structure monitor does not see them. */
export class Comparing {
  readonly #options: ComparingOptions;
  #skipped: readonly string[] = [];
  #doneAtMs: number | null = null;

  constructor(options: ComparingOptions) {
    this.#options = options;
  }

  /** Sets that are left out, as they hold more elements than are read back. */
  get skipped(): readonly string[] {
    return this.#skipped;
  }

  /** When the last one ended, monotonic ms; null before. */
  get doneAtMs(): number | null {
    return this.#doneAtMs;
  }

  async run(): Promise<void> {
    const { config, signal } = this.#options;
    for (let waitedMs = 0; !signal.aborted; waitedMs += LOOK_MS) {
      await delay(LOOK_MS, signal).catch(() => {});
      const { everySeconds } = config();
      if (signal.aborted || everySeconds === 0 || waitedMs < everySeconds * 1_000 || this.#options.unsettled()) continue;
      await this.#once();
      waitedMs = 0;
    }
  }

  async #once(): Promise<void> {
    const { config, desired, target, unsettled, onForeign, log, signal } = this.#options;
    try {
      const compared = await target.compare(desired, config().upTo, signal);
      if (compared === null || unsettled()) return;
      this.#skipped = compared.skipped;
      this.#doneAtMs = performance.now();
      if (compared.foreign.length > 0) onForeign(compared.foreign);
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, "Cannot read the sets back; it is tried again when the time comes");
    }
  }
}
