import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { CompiledQuery } from "kysely";
import { makePrivateFile, makePrivateFolder } from "../../lib/file.ts";
import type { Log } from "../../lib/log.ts";
import { createBuilder } from "./builder.ts";
import { GroupCommit, type Job, storageUnavailable, type Transactions, type Work } from "./group-commit.ts";
import { assertOurs, migrateSqlite, type Plain, StoreRefusedError } from "./migrate.ts";
import type { Builder, Command, Reader, Rider, Store, Together, Topic } from "./store.ts";
import { Watchers } from "./watchers.ts";

const BUSY_TIMEOUT_MS = 5_000;
/** The write-ahead log is cut back to this after a checkpoint. */
const WAL_LIMIT_BYTES = 64 << 20;
/** Pages of 4 kB that the log takes before a commit brings them into the file: pages that are written often get there once. */
const CHECKPOINT_PAGES = 4_000;
const MAX_STATEMENTS = 256;
const MAX_SNAPSHOTS = 32;
/** BUSY, LOCKED, NOMEM, IOERR, FULL, CANTOPEN (sqlite.org/rescode.html): the data is sound, the moment is not. */
const PASSING: ReadonlySet<number | null> = new Set([5, 6, 7, 10, 13, 14]);
const NOT_A_DATABASE = 26;
/** Every commit is synced to the disk: what was acknowledged survives a power cut. */
const SYNCHRONOUS_FULL = 2;

/**
 * Opens or makes Storage in one SQLite file (WAL, every commit synced) and brings its schema up to date. Its folder is made private, the file too.
 * One process may write at a time.
 * @throws StoreRefusedError when the file is another program's or its schema is newer than this program
 */
export async function openSqliteStore({ file, log }: { file: string; log: Log }): Promise<Store> {
  makePrivateFolder(dirname(file));
  // The folder may have been there before, open to others; the log beside the file takes its mode.
  makePrivateFile(file);
  const writer = openConnection(file, false);
  try {
    prepareFile(writer, file, log);
    return new SqliteStore(file, writer, openConnection(file, true), log);
  } catch (error) {
    writer.close();
    throw error;
  }
}

class SqliteStore implements Store {
  readonly #file: string;
  readonly #writer: Connection;
  readonly #reader: Connection;
  readonly #db = createBuilder("sqlite");
  readonly #commits: GroupCommit;
  readonly #watchers: Watchers;
  readonly #snapshots = new Set<Connection>();
  readonly #riders = new Map<Topic, Set<Job>>();
  readonly #works = new WeakMap<Together<never, unknown>, Work>();
  #closed: Promise<void> | null = null;

  constructor(file: string, writer: Connection, reader: Connection, log: Log) {
    this.#file = file;
    this.#writer = writer;
    this.#reader = reader;
    this.#watchers = new Watchers(log);
    const riding = (topics: ReadonlySet<Topic>) => [...topics].flatMap((topic) => [...(this.#riders.get(topic) ?? [])]);
    const committed = (topics: ReadonlySet<Topic>) => {
      reader.endView();
      this.#watchers.wake(topics);
    };
    this.#commits = new GroupCommit(writer, committed, riding);
  }

  write<T>(command: (db: Builder) => Command<T>, wakes: readonly Topic[] = []): Promise<T> {
    return this.#commits.add(() => this.#writer.perform(command(this.#db)), wakes);
  }

  writeTogether<I, T>(command: Together<I, T>, input: I, wakes: readonly Topic[] = []): Promise<T> {
    const work = this.#works.get(command as Together<never, unknown>) ?? (this.#workOf(command) as Work);
    this.#works.set(command as Together<never, unknown>, work);
    return this.#commits.addTo(work, input, wakes);
  }

  #workOf<I, T>(command: Together<I, T>) {
    return (inputs: readonly I[]) => this.#writer.perform(command(this.#db, inputs));
  }

  async read<T>(command: (db: Builder) => Command<T>): Promise<T> {
    this.#reader.beginView();
    return this.#reader.perform(command(this.#db));
  }

  watch(topic: Topic, listener: () => void): Disposable {
    return this.#watchers.add(topic, listener);
  }

  ride<T>(topic: Topic, { command, wakes, quiets, done, failed }: Rider<T>): Disposable {
    const riders = this.#riders.get(topic) ?? new Set();
    this.#riders.set(topic, riders);
    const work = () => [this.#writer.perform(command(this.#db))];
    const job = { work, input: null, wakes, quiets: quiets as NonNullable<Job["quiets"]>, resolve: done as Job["resolve"], reject: failed };
    riders.add(job);
    return { [Symbol.dispose]: () => riders.delete(job) };
  }

  async snapshot(): Promise<Reader & AsyncDisposable> {
    if (this.#closed !== null || this.#snapshots.size >= MAX_SNAPSHOTS)
      throw storageUnavailable(new Error("closed, or too many snapshots are open"));
    const connection = openConnection(this.#file, true);
    this.#snapshots.add(connection);
    connection.exec("begin");
    // A read transaction begins with its first read.
    connection.exec("select 1 from meta limit 1");
    return {
      read: async (command) => connection.perform(command(this.#db)),
      [Symbol.asyncDispose]: async () => {
        this.#snapshots.delete(connection);
        connection.close();
      },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#commits.close().then(() => {
      for (const connection of [...this.#snapshots, this.#reader, this.#writer]) connection.close();
      this.#snapshots.clear();
    });
    return this.#closed;
  }
}

/** One SQLite connection with its prepared statements. */
class Connection implements Transactions, Plain {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, Statement>();
  #viewing: NodeJS.Immediate | null = null;

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  get inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  exec(sql: string): void {
    this.#statement(sql).run([]);
  }

  value(sql: string): unknown {
    return Object.values(this.#db.prepare(sql).get() ?? {})[0];
  }

  /** Runs a command to its end. What it yields is run at once. */
  perform<T>(command: Command<T>): T {
    let step = command.next();
    while (!step.done) step = command.next(this.#rows(step.value));
    return step.value;
  }

  /**
   * What is read from now on is one view of the data, until {@link Connection.endView} or the end of this turn of the event loop: to
   * find out for every read whether the data has changed costs more than the read.
   */
  beginView(): void {
    if (!this.#db.isOpen) throw storageUnavailable(new Error("the store is closed"));
    if (this.#viewing !== null) return;
    this.exec("begin");
    this.#viewing = setImmediate(() => this.endView());
  }

  /** Whatever is committed by now is seen by the next read. */
  endView(): void {
    if (this.#viewing === null) return;
    clearImmediate(this.#viewing);
    this.#viewing = null;
    if (this.#db.isTransaction) this.exec("commit");
  }

  close(): void {
    this.endView();
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  #rows(query: CompiledQuery): readonly unknown[] {
    try {
      return this.#statement(query.sql).run(query.parameters as readonly SQLInputValue[]);
    } catch (error) {
      throw PASSING.has(resultCode(error)) ? storageUnavailable(error) : error;
    }
  }

  /** The oldest statement makes room: what is used often is prepared again soon, what was used once is gone. */
  #statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      const [oldest] = this.#statements.keys();
      if (this.#statements.size >= MAX_STATEMENTS && oldest !== undefined) this.#statements.delete(oldest);
      statement = new Statement(this.#db.prepare(sql));
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

const NO_ROWS: readonly unknown[] = [];

class Statement {
  readonly #statement: StatementSync;
  readonly #hasRows: boolean;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    this.#hasRows = statement.columns().length > 0;
  }

  run(values: readonly SQLInputValue[]): readonly unknown[] {
    if (this.#hasRows) return this.#statement.all(...values);
    this.#statement.run(...values);
    return NO_ROWS;
  }
}

function openConnection(file: string, readOnly: boolean): Connection {
  const db = new DatabaseSync(file, { readOnly, enableForeignKeyConstraints: true, timeout: BUSY_TIMEOUT_MS });
  return new Connection(db);
}

/** The file is looked at before anything of it is changed. */
function prepareFile(connection: Connection, file: string, log: Log): void {
  try {
    assertOurs(connection, file);
    const journal = connection.value("pragma journal_mode = wal");
    connection.exec("pragma synchronous = full");
    if (journal !== "wal" || connection.value("pragma synchronous") !== SYNCHRONOUS_FULL)
      throw new StoreRefusedError(
        `Cannot use ${file} as Storage: its file system allows no write-ahead log, journal mode is '${String(journal)}'.`,
      );
    connection.value(`pragma journal_size_limit = ${WAL_LIMIT_BYTES}`);
    connection.exec("pragma temp_store = memory");
    connection.value(`pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  } catch (cause) {
    if (resultCode(cause) === NOT_A_DATABASE)
      throw new StoreRefusedError(`Cannot use ${file} as Storage: it is no SQLite database.`, { cause });
    throw cause;
  }
  migrateSqlite(connection, file, log);
}

/** SQLite's primary result code; null for any other error. */
const resultCode = (error: unknown): number | null =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : null;
