import { delay, Wakeup } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import { FEED } from "../../lib/feed/limits.ts";
import type { Log } from "../../lib/log.ts";
import { readChanges, readHead } from "../store/queries.ts";
import type { Store } from "../store/store.ts";

/** Newest changes kept in memory, ready to send; a feed further behind reads Storage. */
const RECENT = 10_000;
const RETRY_MS = 500;
/** The change log is only worth replaying up to this far back; beyond it a snapshot is shorter. */
export const MAX_REPLAY = 50_000;

export interface Head {
  readonly epoch: string;
  readonly revision: number;
  readonly digest: string;
}

/** One message's worth of changes: `text` is ready for the socket, `to` the last revision in it. */
export interface Page {
  readonly text: string;
  readonly to: number;
}

/**
 * Follows the head of Storage and hands every feed the same ready text, so that a change is read and written as JSON once however
 * many listen. Feeds are woken and fetch; nothing is queued for them.
 */
export class Publisher {
  readonly #store: Store;
  readonly #clock: Clock;
  #head: Head;
  /** bodies[i] is revision #first + i. */
  #bodies: string[] = [];
  #first: number;
  #page: (Page & { readonly from: number }) | null = null;
  readonly wakeup = new Wakeup();

  private constructor(store: Store, clock: Clock, head: Head) {
    this.#store = store;
    this.#clock = clock;
    this.#head = head;
    this.#first = head.revision + 1;
  }

  static async start(store: Store, clock: Clock, log: Log): Promise<Publisher & AsyncDisposable> {
    const publisher = new Publisher(store, clock, await store.read(readHead));
    const rung = new Wakeup();
    const abort = new AbortController();
    const follow = async () => {
      let seen = 0;
      while (!abort.signal.aborted) {
        await rung.after(seen, abort.signal);
        seen = rung.count;
        await publisher.#follow().catch(async (error: unknown) => {
          log.error({ err: error }, "Cannot follow the head; trying again");
          await delay(RETRY_MS, abort.signal);
          rung.ring();
        });
      }
    };
    const watch = store.watch("head", () => rung.ring());
    await publisher.#follow();
    const following = follow().catch(() => {});
    const dispose = async () => {
      watch[Symbol.dispose]();
      abort.abort(new Error("the publisher stops"));
      await following;
    };
    return Object.assign(publisher, { [Symbol.asyncDispose]: dispose });
  }

  get head(): Head {
    return this.#head;
  }

  /** The changes after `revision`, at most one message's worth; null when there are none. */
  async pageAfter(revision: number): Promise<Page | null> {
    if (revision >= this.#head.revision) return null;
    const from = revision + 1;
    if (this.#page?.from === from) return this.#page;
    const limit = FEED.maxChangesPerMessage;
    const bodies =
      from >= this.#first
        ? this.#bodies.slice(from - this.#first, from - this.#first + limit)
        : (await this.#store.read((db) => readChanges(db, { after: revision, limit }))).map((row) => row.body);
    const page = { from, to: revision + bodies.length, text: this.#text(from, bodies) };
    this.#page = page;
    return page;
  }

  #text(from: number, bodies: readonly string[]): string {
    return `{"type":"changes","from":${from},"changes":[${bodies.join(",")}],"time":${this.#clock.now()}}`;
  }

  async #follow(): Promise<void> {
    const head = await this.#store.read(readHead);
    const rows: string[] = [];
    let known = this.#first + this.#bodies.length - 1;
    if (head.revision - known > RECENT) {
      this.#bodies = [];
      this.#first = head.revision + 1;
      known = head.revision;
    }
    while (known < head.revision) {
      const page = await this.#store.read((db) => readChanges(db, { after: known, limit: FEED.maxChangesPerMessage }));
      if (page.length === 0) throw new Error(`revision ${known + 1} is missing from the change log`);
      for (const row of page) if (row.revision <= head.revision) rows.push(row.body);
      known = Math.min(head.revision, page.at(-1)?.revision ?? head.revision);
    }
    this.#bodies.push(...rows);
    const excess = this.#bodies.length - RECENT;
    if (excess > 0) {
      this.#bodies.splice(0, excess);
      this.#first += excess;
    }
    this.#page = null;
    const moved = head.revision !== this.#head.revision || head.epoch !== this.#head.epoch;
    this.#head = head;
    if (moved) this.wakeup.ring();
  }
}
