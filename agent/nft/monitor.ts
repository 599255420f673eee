import { randomBytes } from "node:crypto";
import { delay } from "../../lib/abort.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Log } from "../../lib/log.ts";
import { TABLE } from "../../lib/service.ts";
import { namesOf } from "./listing.ts";
import { askOnce, type Watching, watch } from "./nft.ts";
import { OwnChanges, readRuleEvent } from "./own.ts";

/** How often the table's presence is asked for besides: the watching nft may be dead, starting, or have lost events. */
const LOOK_EVERY_MS = 1_000;
const LOOK_TIMEOUT_MS = 5_000;
/** Rules of one foreign transaction come one by one: they are told as one change. */
const SETTLE_MS = 20;
/** How often, growing, it is tried whether the watching nft hears, before start goes on without knowing. */
const HEARING_WAITS_MS = [20, 40, 80, 160, 320];
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 60_000;
const LOST_EVENTS = /lost some netlink events/i;

export interface MonitorOptions {
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Somebody else changed or deleted the table's rules, or may have: `what` says which, for the log. */
  readonly onTampered: (what: string) => void;
  /** Command and arguments that nft is run through, such as `nsenter --net=…`; none by default. */
  readonly within?: readonly string[];
}

/**
 * Watches rules of table `inet entityos`: a flush, a deleted table and a changed chain all show there, elements do not.
 * Resolves when it hears, or after 0.6 s without knowing (a watching nft first reads the whole ruleset in).
 * Start it before a large table is loaded: beside a million elements it cannot start, and presence alone is looked at.
 */
export async function startMonitor(options: MonitorOptions): Promise<AsyncDisposable> {
  const monitor = new Monitor(options);
  await monitor.hearing();
  return monitor;
}

class Monitor implements AsyncDisposable {
  readonly #options: MonitorOptions;
  readonly #within: readonly string[];
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #own = new OwnChanges();
  readonly #work: Promise<unknown>;
  readonly #heard = Promise.withResolvers<void>();
  readonly #word = randomBytes(8).toString("hex");
  #watching: Watching | null = null;
  #settling: NodeJS.Timeout | null = null;
  #hears = false;
  #seen = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#within = options.within ?? [];
    this.#signal = AbortSignal.any([options.signal, this.#ending.signal]);
    this.#work = Promise.all([this.#watch(), this.#look()]);
  }

  /** Changes a table that nobody uses until the change is heard. */
  async hearing(): Promise<void> {
    const table = `inet ${TABLE}_probe`;
    const script = `add table ${table}; add chain ${table} c; add rule ${table} c continue comment "${this.#word}"; delete table ${table}`;
    for (const waitMs of HEARING_WAITS_MS) {
      const bounds = { timeoutMs: LOOK_TIMEOUT_MS, signal: this.#signal };
      await askOnce(this.#within, [script], bounds).catch((error: unknown) => this.#options.log.debug({ err: error }, "Cannot probe"));
      const heard = await Promise.race([this.#heard.promise.then(() => true), delay(waitMs, this.#signal).catch(() => true)]);
      if (heard === true) return;
    }
    this.#options.log.warn({}, "The structure monitor does not hear yet; until it does, only the table's presence is looked at");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error("the monitor is given up"));
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#watching?.kill();
    await this.#work;
  }

  async #watch(): Promise<void> {
    const backoff = new Backoff({ minMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
    let missed = false;
    while (!this.#signal.aborted) {
      const startedAt = performance.now();
      this.#watching = watch(this.#within, ["-j", "monitor", "rules"], (line) => this.#take(line));
      const stop = () => this.#watching?.kill();
      this.#signal.addEventListener("abort", stop, { once: true });
      if (missed) this.#tampered("the monitor was away and may have missed a change");
      this.#hears = false;
      const words = await this.#watching.ended;
      this.#signal.removeEventListener("abort", stop);
      if (this.#signal.aborted) return;
      this.#own.reset();
      if (performance.now() - startedAt > RETRY_MAX_MS) backoff.reset();
      const waitMs = backoff.next();
      this.#options.log.warn({ words, waitMs }, "The structure monitor ended and is started again");
      // One that never heard missed nothing that was not already told: a resync each time would change nothing.
      missed = this.#hears;
      await delay(waitMs, this.#signal).catch(() => {});
    }
  }

  #take(line: string): void {
    if (line.includes(this.#word)) this.#heard.resolve();
    if (line.startsWith("{")) this.#hears = true;
    if (LOST_EVENTS.test(line)) {
      this.#own.reset();
      this.#options.log.warn({}, "The structure monitor lost events");
      return;
    }
    const event = readRuleEvent(line);
    if (event !== null && this.#own.isForeign(event)) this.#tampered("rules were changed by somebody else");
  }

  #tampered(what: string): void {
    if (this.#settling !== null || this.#signal.aborted) return;
    this.#settling = setTimeout(() => {
      this.#settling = null;
      if (!this.#signal.aborted) this.#options.onTampered(what);
    }, SETTLE_MS);
  }

  /** Tells when the table that was there is not there any more. */
  async #look(): Promise<void> {
    while (!this.#signal.aborted) {
      await delay(LOOK_EVERY_MS, this.#signal).catch(() => {});
      if (this.#signal.aborted) return;
      try {
        const bounds = { timeoutMs: LOOK_TIMEOUT_MS, signal: this.#signal };
        const answer = await askOnce(this.#within, ["-j", "list", "chains", "inet"], bounds);
        const stands = namesOf([JSON.parse(answer) as unknown], "chain").length > 0;
        if (this.#seen && !stands) this.#tampered("the table is gone");
        this.#seen = stands;
      } catch (error) {
        if (!this.#signal.aborted) this.#options.log.warn({ err: error }, "Cannot look whether the table stands");
      }
    }
  }
}
