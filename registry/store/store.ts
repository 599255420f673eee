import type { Compilable, CompiledQuery, Kysely } from "kysely";
import type { Problem } from "../../lib/problem.ts";
import type { Database } from "./schema.ts";

/**
 * A unit of work on Storage: yields compiled queries, receives their rows, returns a result, and runs in one transaction.
 * Being a generator it runs synchronously inside SQLite's group commit and asynchronously on PostgreSQL, written once.
 * A command must not await, and must not read the clock: times come in as arguments.
 */
export type Command<T> = Generator<CompiledQuery, T, readonly unknown[]>;

/** What a commit may wake: new work for Process, without certificate requests ("inbox") or with ("requests"), an outcome for those who wait, a revision for the feed, a registration's progress, a revocation. */
export type Topic = "inbox" | "requests" | "outcome" | "head" | "progress" | "revocation";

export interface Reader {
  /** Runs a command that only reads, on committed data. */
  read<T>(command: (db: Builder) => Command<T>): Promise<T>;
}

/**
 * Does the same for many inputs in one transaction.
 * @returns for each, in their order, its result, or the Problem that it is refused with: then it has written nothing for that input
 */
export type Together<I, T> = (db: Builder, inputs: readonly I[]) => Command<readonly (T | Problem)[]>;

export interface Store extends Reader, AsyncDisposable {
  /**
   * Runs a command in one transaction and resolves when it is durable. When it throws, it alone is rolled back.
   * @param wakes topics whose watchers are called after the commit
   */
  write<T>(command: (db: Builder) => Command<T>, wakes?: readonly Topic[]): Promise<T>;
  /**
   * As `write`, of one of many that are alike: those that come together may be done by one run of the same `command`. Where that throws,
   * each is done by itself, so that one that throws is rolled back alone here too.
   */
  writeTogether<I, T>(command: Together<I, T>, input: I, wakes?: readonly Topic[]): Promise<T>;
  /** Calls `listener` after each commit that wakes `topic`, possibly once for several; dispose to stop. */
  watch(topic: Topic, listener: () => void): Disposable;
  /**
   * Lets a command ride along: it begins in each transaction that wakes `topic`, behind its other commands, and is durable with them.
   * A store may leave that out, so the topic's watchers must do what they find undone.
   */
  ride<T>(topic: Topic, rider: Rider<T>): Disposable;
  /** A stable view of one moment, for reading page by page without holding up writers. Dispose it soon. */
  snapshot(): Promise<Reader & AsyncDisposable>;
}

/** Work that is done in the transactions of others. When it throws, it alone is rolled back. */
export interface Rider<T> {
  command(db: Builder): Command<T>;
  /** What the commit wakes besides. */
  readonly wakes: readonly Topic[];
  /** Of what the commit would wake, that which nobody need look at any more, after what the command returned. */
  quiets(result: T): readonly Topic[];
  /** Told what the command returned, once it is durable. */
  done(result: T): void;
  failed(error: unknown): void;
}

/** Builds queries; runs none. The same queries for both databases are compiled through it. */
export type Builder = Kysely<Database>;

/** Rows of one query, typed: `const rows = yield* all(query)`. */
export function* all<R>(query: Compilable<R>): Command<R[]> {
  return (yield query.compile()) as R[];
}

/** The first row or undefined. */
export function* first<R>(query: Compilable<R>): Command<R | undefined> {
  return (yield* all(query))[0];
}

/** The right to write derived tables: whoever holds the highest term leads; every derived write checks it in its own transaction. */
export interface Lead {
  readonly term: number;
}
