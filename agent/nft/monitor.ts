import { randomBytes } from "node:crypto";
import { delay, Wakeup } from "../../lib/abort.ts";
import type { Log } from "../../lib/log.ts";
import { TABLE } from "../../lib/service.ts";
import { type Nft, openNft } from "./child.ts";
import { StructureLook } from "./look.ts";
import { askOnce, type Watching, watch } from "./nft.ts";
import { OwnChanges, readRuleEvent } from "./own.ts";

/** How often the structure is looked at besides: 10 ms at a million elements, as they are left out. */
const LOOK_EVERY_MS = 1_000;
const LOOK_TIMEOUT_MS = 5_000;
/** Beside more elements than this a watching nft cannot live. */
const MAX_HEARD_ELEMENTS = 150_000;
/** Rules of one foreign transaction come one by one: they are told as one change. */
const SETTLE_MS = 20;
/** How often, growing, it is tried whether the watching nft hears, before start goes on without knowing. */
const HEARING_WAITS_MS = [20, 40, 80, 160, 320];
/** Wait before another watching nft is started: after one that heard, and after one that never did. */
const AGAIN_MS = 2_000;
const AGAIN_DEAF_MS = 600_000;
const LOST_EVENTS = /lost some netlink events/i;

export interface MonitorOptions {
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Somebody else changed or deleted the table's structure: `what` says it for the log. */
  readonly onTampered: (what: string) => void;
  /** Command and arguments that nft is run through, such as `nsenter --net=…`; none by default. */
  readonly within?: readonly string[];
}

export interface StructureMonitor extends AsyncDisposable {
  /**
   * So many elements are about to be written. With more than a watching nft can live beside it is ended first: the kernel would make
   * a message of each for it, which doubles what the load costs, until it ends of them.
   */
  expect(elements: number): void;
}

/**
 * Watches the structure of table `inet entityos` for changes that are not this process's own. A watching nft hears changed rules at once
 * (a flush, a deleted table and a changed chain all show there). It keeps 350 bytes of every element that anyone adds, so it ends at
 * 64 MiB and is started anew; beside some 160,000 elements it cannot start. A look every second finds what it missed, at any size.
 * Resolves when the nft hears, or after 0.6 s without knowing.
 */
export async function startMonitor(options: MonitorOptions): Promise<StructureMonitor> {
  const monitor = new Monitor(options);
  await monitor.hearing();
  return monitor;
}

class Monitor implements StructureMonitor {
  readonly #options: MonitorOptions;
  readonly #within: readonly string[];
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #own = new OwnChanges();
  readonly #structure = new StructureLook();
  /** Kept open too, and another than the one that changes are made by: that one may be at a long script. */
  readonly #nft: Nft;
  readonly #lookNow = new Wakeup();
  readonly #heard = Promise.withResolvers<void>();
  readonly #looked = Promise.withResolvers<void>();
  readonly #word = randomBytes(8).toString("hex");
  readonly #work: Promise<unknown>;
  #watching: Watching | null = null;
  #hears = false;
  #elements = 0;
  readonly #fewer = new Wakeup();
  #settling: NodeJS.Timeout | null = null;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#within = options.within ?? [];
    this.#signal = AbortSignal.any([options.signal, this.#ending.signal]);
    this.#nft = openNft({ log: options.log, signal: this.#signal, within: this.#within, flags: ["-j", "-t"] });
    this.#signal.addEventListener("abort", () => this.#watching?.kill(), { once: true });
    this.#work = Promise.all([this.#watch(), this.#look()]);
  }

  /** Changes a table that nobody uses until the change is heard. */
  async hearing(): Promise<void> {
    await this.#looked.promise;
    const table = `inet ${TABLE}_probe`;
    const script = `add table ${table}; add chain ${table} c; add rule ${table} c continue comment "${this.#word}"; delete table ${table}`;
    for (const waitMs of HEARING_WAITS_MS) {
      const bounds = { timeoutMs: LOOK_TIMEOUT_MS, signal: this.#signal };
      await askOnce(this.#within, [script], bounds).catch((error: unknown) => this.#options.log.debug({ err: error }, "Cannot probe"));
      const heard = await Promise.race([this.#heard.promise.then(() => true), this.#wait(waitMs).then(() => this.#signal.aborted)]);
      if (heard) return;
    }
    this.#options.log.warn({}, "The structure monitor does not hear yet; until it does, a look every second stands in for it");
  }

  expect(elements: number): void {
    this.#elements = elements;
    if (this.#tooMany) this.#watching?.kill();
    else this.#fewer.ring();
  }

  get #tooMany(): boolean {
    return this.#elements > MAX_HEARD_ELEMENTS;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error("the monitor is given up"));
    if (this.#settling !== null) clearTimeout(this.#settling);
    await this.#work;
    await this.#nft[Symbol.asyncDispose]();
  }

  async #watch(): Promise<void> {
    while (!this.#signal.aborted) {
      if (this.#tooMany) await this.#rest();
      else await this.#hear();
    }
  }

  async #hear(): Promise<void> {
    this.#hears = false;
    this.#own.reset();
    this.#watching = watch(this.#within, ["-j", "monitor", "rules"], (line) => this.#take(line));
    this.#lookNow.ring();
    const words = await this.#watching.ended;
    this.#watching = null;
    if (this.#signal.aborted) return;
    this.#lookNow.ring();
    if (this.#tooMany) return;
    const waitMs = this.#hears ? AGAIN_MS : AGAIN_DEAF_MS;
    this.#options.log.warn({ words, waitMs }, "The structure monitor ended and is started again");
    await this.#wait(waitMs);
  }

  /** Until there are fewer elements, as far as anyone told; tried again in the end whatever was told. */
  async #rest(): Promise<void> {
    const elements = this.#elements;
    this.#options.log.info({ elements }, "The structure monitor cannot hear beside so many elements; a look every second stands in for it");
    await this.#fewer.after(this.#fewer.count, this.#signal, AGAIN_DEAF_MS).catch(() => {});
    if (this.#elements === elements) this.#elements = 0;
  }

  #take(line: string): void {
    if (line.includes(this.#word)) this.#heard.resolve();
    if (line.startsWith("{")) this.#hears = true;
    if (LOST_EVENTS.test(line)) {
      this.#own.reset();
      this.#options.log.warn({}, "The structure monitor lost events");
      this.#lookNow.ring();
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

  async #look(): Promise<void> {
    while (!this.#signal.aborted) {
      const seen = this.#lookNow.count;
      await this.#lookOnce();
      this.#looked.resolve();
      await this.#lookNow.after(seen, this.#signal, LOOK_EVERY_MS).catch(() => {});
    }
    this.#looked.resolve();
  }

  async #lookOnce(): Promise<void> {
    try {
      const bounds = { timeoutMs: LOOK_TIMEOUT_MS, signal: this.#signal };
      const [listing = {}] = await this.#nft.query("list ruleset inet", bounds);
      const what = this.#structure.take(listing);
      if (what !== null) this.#tampered(what);
    } catch (error) {
      if (!this.#signal.aborted) this.#options.log.warn({ err: error }, "Cannot look whether the table stands");
    }
  }

  /** Resolves at the end or when the monitor is given up. */
  async #wait(ms: number): Promise<void> {
    await delay(ms, this.#signal).catch(() => {});
  }
}
