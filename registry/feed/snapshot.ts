import { setImmediate } from "node:timers/promises";
import { Wakeup } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import { encode } from "../../lib/feed/messages.ts";
import type { Log } from "../../lib/log.ts";
import { type Head, readHead } from "../store/queries.ts";
import { first, type Reader, type Store } from "../store/store.ts";
import { ruleChunks, trustChunks } from "./chunks.ts";

/** Snapshots in memory at one time: the newest, and one that slow agents still take. */
const MAX_HELD = 2;
/** A snapshot this many revisions behind the head is not begun with. */
const MAX_LAG = 10_000;
/** How long a snapshot stays after the last agent took it: the others of a herd come soon. */
const LINGER_MS = 10_000;

type Send = (data: string | Buffer) => Promise<void>;

/** One moment's state as messages, read once for all agents that need it and growing while it is read. */
class Snapshot {
  readonly head: Head;
  readonly trust: number;
  readonly chunks: Buffer[] = [];
  readonly grown = new Wakeup();
  complete = false;
  failure: unknown = null;
  readers = 0;

  constructor(head: Head, trust: number) {
    this.head = head;
    this.trust = trust;
  }
}

/**
 * Snapshots for agents that cannot resume. Storage's stable view is open only while it is read into memory, a few seconds at a million
 * rules, however slowly agents take it: a view that stays open would let the write-ahead log grow. Memory is bounded by `MAX_HELD`
 * times about 45 bytes a rule.
 */
export class Snapshots implements AsyncDisposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #abort = new AbortController();
  readonly #held = new Set<Snapshot>();
  readonly #freed = new Wakeup();
  readonly #reading = new Set<Promise<void>>();
  #opening: Promise<Snapshot> | null = null;
  #newest: Snapshot | null = null;

  constructor(store: Store, clock: Clock, log: Log) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Sends everything that is in force at one revision.
   * @param head what the snapshot must not be far behind
   * @param send resolves when the message left this process
   * @param onEnd called with the revision before the last message of the snapshot is sent
   */
  async send(head: Pick<Head, "epoch" | "revision">, send: Send, onEnd: (revision: number) => void, signal: AbortSignal): Promise<void> {
    const snapshot = await this.#take(head, signal);
    try {
      const { epoch, revision, rules, digest } = snapshot.head;
      await send(encode({ type: "snapshot.begin", epoch, revision, rules, trust: snapshot.trust }));
      for (let next = 0; ; next++) {
        while (next >= snapshot.chunks.length && !snapshot.complete) await snapshot.grown.after(snapshot.grown.count, signal);
        if (snapshot.failure !== null) throw snapshot.failure;
        const chunk = snapshot.chunks[next];
        if (chunk === undefined) break;
        await send(chunk);
      }
      onEnd(revision);
      await send(encode({ type: "snapshot.end", revision, digest, time: this.#clock.now() }));
    } finally {
      snapshot.readers--;
      this.#letGo(snapshot);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("the feed stops"));
    await Promise.all(this.#reading);
  }

  async #take(head: Pick<Head, "epoch" | "revision">, signal: AbortSignal): Promise<Snapshot> {
    for (;;) {
      const freed = this.#freed.count;
      const newest = this.#newest;
      const fits = newest?.failure === null && newest.head.epoch === head.epoch && head.revision - newest.head.revision <= MAX_LAG;
      if (newest !== null && fits) {
        newest.readers++;
        return newest;
      }
      if (this.#opening === null && this.#held.size >= MAX_HELD) {
        await this.#freed.after(freed, signal);
        continue;
      }
      this.#opening ??= this.#open().finally(() => {
        this.#opening = null;
      });
      const opened = await this.#opening;
      opened.readers++;
      return opened;
    }
  }

  async #open(): Promise<Snapshot> {
    const view = await this.#store.snapshot();
    try {
      const head = await view.read(readHead);
      const counted = await view.read((db) => first(db.selectFrom("trust").select((trust) => trust.fn.countAll().as("n"))));
      const snapshot = new Snapshot(head, Number(counted?.n ?? 0));
      this.#held.add(snapshot);
      if (this.#newest !== null) this.#letGo(this.#newest);
      this.#newest = snapshot;
      const reading = this.#read(snapshot, view).finally(() => this.#reading.delete(reading));
      this.#reading.add(reading);
      return snapshot;
    } catch (error) {
      await view[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Reads the view to its end, a page in a turn of the event loop, and closes it. */
  async #read(snapshot: Snapshot, view: Reader & AsyncDisposable): Promise<void> {
    const add = async (text: string) => {
      snapshot.chunks.push(Buffer.from(text));
      snapshot.grown.ring();
      await setImmediate();
      this.#abort.signal.throwIfAborted();
    };
    try {
      await using _view = view;
      for await (const text of trustChunks(view)) await add(text);
      for await (const text of ruleChunks(view)) await add(text);
    } catch (error) {
      snapshot.failure = error;
      if (!this.#abort.signal.aborted) this.#log.error({ err: error }, "Cannot read a snapshot");
    } finally {
      snapshot.complete = true;
      snapshot.grown.ring();
      this.#letGo(snapshot);
    }
  }

  /** Drops a snapshot that nobody takes: at once when there is a newer one or it failed, else after a while. */
  #letGo(snapshot: Snapshot): void {
    if (snapshot.readers > 0 || !snapshot.complete || !this.#held.has(snapshot)) return;
    const drop = () => {
      if (snapshot.readers > 0) return;
      if (this.#newest === snapshot) this.#newest = null;
      this.#held.delete(snapshot);
      this.#freed.ring();
    };
    if (this.#newest !== snapshot || snapshot.failure !== null) drop();
    else setTimeout(drop, LINGER_MS).unref();
  }
}
