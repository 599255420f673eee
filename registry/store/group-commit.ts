import { Problem } from "../../lib/problem.ts";
import type { Topic } from "./store.ts";

/** What group commit needs of a connection. */
export interface Transactions {
  exec(sql: "begin immediate" | "commit" | "rollback" | "savepoint one" | "release one" | "rollback to one"): void;
  /** A database may end a transaction by itself when a statement fails for want of space. */
  readonly inTransaction: boolean;
}

/** Most writes in one transaction, and most that wait for one. */
export const MAX_BATCH = 512;
export const MAX_QUEUED = 20_000;
/** A rest between two transactions, in times that what was before it took, and the longest. */
const REST = { times: 2, mostMs: 10 };

/** What is done for one input, or for many alike at one time: as many results as there are inputs, in their order. */
export type Work = (inputs: readonly unknown[]) => readonly unknown[];

/** A write, or what rides along with writes. Jobs of the same work are done together. */
export interface Job {
  readonly work: Work;
  readonly input: unknown;
  readonly wakes: readonly Topic[];
  /** What its result makes needless to wake, whoever asked for it; nothing where it is left out. */
  readonly quiets?: (result: unknown) => readonly Topic[];
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export const storageUnavailable = (cause?: unknown): Problem =>
  new Problem(503, "storage_unavailable", "Storage cannot be used right now; nothing of this was done. Try again.", { cause });

/**
 * Merges all writes of one turn of the event loop into one durable transaction, each inside its own savepoint:
 * a write that throws is rolled back alone, a commit that fails rejects every write that was in it. Writes that are alike share a
 * savepoint; when they throw there, each gets one of its own.
 */
export class GroupCommit {
  readonly #db: Transactions;
  readonly #wake: (topics: ReadonlySet<Topic>) => void;
  readonly #riding: (topics: ReadonlySet<Topic>) => readonly Job[];
  #queue: Job[] = [];
  #armed = false;
  /** By `performance.now()`: while writes come close on each other, the next transaction begins no sooner. */
  #restUntilMs = 0;
  #closed = false;
  #drained: () => void = () => {};

  /**
   * @param wake called after each commit with the topics of the writes in it
   * @param riding what is to be done behind the writes that wake these topics, in the same transaction
   */
  constructor(
    db: Transactions,
    wake: (topics: ReadonlySet<Topic>) => void,
    riding: (topics: ReadonlySet<Topic>) => readonly Job[] = () => [],
  ) {
    this.#db = db;
    this.#wake = wake;
    this.#riding = riding;
  }

  /** Runs `work` in the next transaction; resolves with its result once that is durable. */
  add<T>(work: () => T, wakes: readonly Topic[]): Promise<T> {
    return this.addTo(() => [work()], null, wakes);
  }

  /** As {@link GroupCommit.add}, of work that is done at one time for all inputs that came to it; a result that is a Problem rejects. */
  addTo<T>(work: Work, input: unknown, wakes: readonly Topic[]): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(storageUnavailable(new Error("the store is closed")));
      } else if (this.#queue.length >= MAX_QUEUED) {
        reject(storageUnavailable(new Error(`${MAX_QUEUED} writes are waiting`)));
      } else {
        const settle = (value: unknown) => (value instanceof Problem ? reject(value) : resolve(value as T));
        this.#queue.push({ work, input, wakes, resolve: settle, reject });
        this.#arm();
      }
    });
  }

  /** Takes no more writes and resolves when those that wait are done. */
  async close(): Promise<void> {
    this.#closed = true;
    if (!this.#armed) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    const restMs = this.#restUntilMs - performance.now();
    if (restMs < 1) setImmediate(() => this.#turn());
    else setTimeout(() => this.#turn(), restMs);
  }

  /** After several writes it rests for longer than they took: the busier it is, the more share what a transaction costs. One alone never waits. */
  #rest(beganMs: number, writes: number): void {
    const endedMs = performance.now();
    this.#restUntilMs = writes > 1 && this.#queue.length === 0 ? endedMs + Math.min(REST.times * (endedMs - beganMs), REST.mostMs) : 0;
  }

  #turn(): void {
    this.#armed = false;
    const began = performance.now();
    const batch = this.#queue.splice(0, MAX_BATCH);
    try {
      const done = this.#commit(batch);
      for (const settle of done) settle();
    } catch (cause) {
      this.#rollBack();
      for (const job of batch) job.reject(storageUnavailable(cause));
    }
    this.#rest(began, batch.length);
    if (this.#queue.length > 0) this.#arm();
    else this.#drained();
  }

  /** @returns what to call now that the batch is durable */
  #commit(batch: readonly Job[]): readonly (() => void)[] {
    const settled: (() => void)[] = [];
    const topics = new Set<Topic>();
    this.#db.exec("begin immediate");
    // Each work where its first job stood.
    for (const jobs of Map.groupBy(batch, ({ work }) => work).values()) settled.push(...this.#perform(jobs, topics));
    for (const job of this.#riding(new Set(topics))) settled.push(...this.#perform([job], topics));
    this.#db.exec("commit");
    settled.push(() => this.#wake(topics));
    return settled;
  }

  /** @returns what to call once the batch is durable */
  #perform(jobs: readonly Job[], topics: Set<Topic>): readonly (() => void)[] {
    const inSavepoint = this.#inSavepoint(jobs);
    if ("results" in inSavepoint) {
      for (const [index, { wakes, quiets }] of jobs.entries()) {
        for (const topic of wakes) topics.add(topic);
        for (const topic of quiets?.(inSavepoint.results[index]) ?? []) topics.delete(topic);
      }
      return jobs.map((job, index) => () => job.resolve(inSavepoint.results[index]));
    }
    if (jobs.length > 1) return jobs.flatMap((job) => this.#perform([job], topics));
    return jobs.map((job) => () => job.reject(inSavepoint.error));
  }

  #inSavepoint(jobs: readonly Job[]): { readonly results: readonly unknown[] } | { readonly error: unknown } {
    this.#db.exec("savepoint one");
    try {
      return { results: jobs[0]?.work(jobs.map(({ input }) => input)) ?? [] };
    } catch (error) {
      if (!this.#db.inTransaction) throw error;
      this.#db.exec("rollback to one");
      return { error };
    } finally {
      if (this.#db.inTransaction) this.#db.exec("release one");
    }
  }

  #rollBack(): void {
    try {
      if (this.#db.inTransaction) this.#db.exec("rollback");
    } catch {
      // The next begin tells; nothing of the batch counts as done either way.
    }
  }
}
