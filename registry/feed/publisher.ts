import { delay, Wakeup } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import { FEED } from "../../lib/feed/limits.ts";
import type { Log } from "../../lib/log.ts";
import { readChanges, readHead } from "../store/queries.ts";
import type { Store } from "../store/store.ts";
import { RecentChanges } from "./recent.ts";
import { MAX_REPLAY } from "./standing.ts";

const RETRY_MS = 500;
/** Changes share a message up to this many characters: small enough that a slow link shows life between two. */
const MAX_PAGE_CHARS = 128 << 10;

export interface Head {
  readonly epoch: string;
  readonly revision: number;
  readonly digest: string;
}

/** One message's worth of changes: `data` is ready for the socket, `to` the last revision in it. */
export interface Page {
  readonly data: Buffer;
  readonly to: number;
}

/**
 * Follows the head of Storage and hands every feed the same ready message, so that a change is read and written as JSON once however
 * many listen. Feeds are woken and fetch; nothing is queued for them.
 */
export class Publisher {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #onHead: (head: Head) => void;
  readonly #recent: RecentChanges;
  #head: Head;
  #page: (Page & { readonly from: number }) | null = null;
  readonly wakeup = new Wakeup();

  private constructor(store: Store, clock: Clock, head: Head, onHead: (head: Head) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#head = head;
    this.#onHead = onHead;
    this.#recent = new RecentChanges(head.revision);
  }

  /** @param onHead called with each new head, before the feeds are woken */
  static async start(store: Store, clock: Clock, log: Log, onHead: (head: Head) => void = () => {}): Promise<Publisher & AsyncDisposable> {
    const publisher = new Publisher(store, clock, await store.read(readHead), onHead);
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

  /** The changes after `revision`, at most one message's worth; null when there are none, "gone" when a snapshot must take their place. */
  async pageAfter(revision: number): Promise<Page | null | "gone"> {
    if (revision >= this.#head.revision) return null;
    const from = revision + 1;
    if (this.#page?.from === from) return this.#page;
    if (this.#head.revision - revision > MAX_REPLAY) return "gone";
    const bodies = this.#recent.from(from, FEED.maxChangesPerMessage) ?? (await this.#stored(from));
    if (bodies === "gone") return "gone";
    const chosen = fitting(bodies);
    const text = `{"type":"changes","from":${from},"changes":[${chosen.join(",")}],"time":${this.#clock.now()}}`;
    const page = { from, to: revision + chosen.length, data: Buffer.from(text) };
    this.#page = page;
    return page;
  }

  /** A log that no longer reaches `from` must not be told from where it begins: every revision after it would be another's. */
  async #stored(from: number): Promise<readonly string[] | "gone"> {
    const rows = await this.#store.read((db) => readChanges(db, { after: from - 1, limit: FEED.maxChangesPerMessage }));
    return rows[0]?.revision === from ? rows.map((row) => row.body) : "gone";
  }

  async #follow(): Promise<void> {
    const head = await this.#store.read(readHead);
    if (head.epoch !== this.#head.epoch || !this.#recent.reaches(head.revision)) this.#recent.restart(head.revision);
    for (let known = this.#recent.last; known < head.revision; known = this.#recent.last) {
      const rows = await this.#store.read((db) => readChanges(db, { after: known, limit: FEED.maxChangesPerMessage }));
      if (rows[0]?.revision !== known + 1) throw new Error(`revision ${known + 1} is missing from the change log`);
      for (const row of rows) if (row.revision <= head.revision) this.#recent.push(row.body);
    }
    this.#page = null;
    const moved = head.revision !== this.#head.revision || head.epoch !== this.#head.epoch;
    this.#head = head;
    if (!moved) return;
    this.#onHead(head);
    this.wakeup.ring();
  }
}

/** As many of the first as fit one message; always one. */
function fitting(bodies: readonly string[]): readonly string[] {
  let chars = 0;
  const end = bodies.findIndex((body, index) => {
    chars += body.length + 1;
    return index > 0 && chars > MAX_PAGE_CHARS;
  });
  return end < 0 ? bodies : bodies.slice(0, end);
}
