import type { Log } from "../../lib/log.ts";
import type { AgentConfig } from "../config.ts";
import type { Cut, Target } from "../target.ts";

export type TerminatorSettings = Pick<AgentConfig, "zone" | "gate" | "terminator" | "runtimeDir" | "stateDir" | "registry">;

export interface TerminatorOptions {
  readonly config: TerminatorSettings;
  readonly log: Log;
  /** Ends what goes on in the background. */
  readonly signal: AbortSignal;
  readonly cut: Cut;
  /** Registry time, ms. */
  readonly now: () => number;
  /** Milliseconds between two looks after open connections. */
  readonly tendMs?: number;
  /** Reloads for CRLs come no closer than this, milliseconds. */
  readonly crlReloadMs?: number;
  /** A CRL that is too large for the feed, from control: PEM, checked against its digest. */
  readonly fetchCrl: (id: string, sha256: string, signal: AbortSignal) => Promise<string>;
}

/** What ends TLS in front of the application, as a target of the reconciler. */
export interface Terminator extends Target, AsyncDisposable {
  /** Takes another configuration; the next resync puts it in force. */
  configure(config: TerminatorSettings): void;
}

/** Lets work be done one after the other: the reconciler's, and what goes on in the background. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Resolves when all that was asked for is done. */
  async done(): Promise<void> {
    await this.#last;
  }
}
