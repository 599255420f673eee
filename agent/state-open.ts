import { hash } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { makePrivateFile } from "../lib/file.ts";

/** "EOGA": marks the file as ours (SQLite's application_id). */
const APPLICATION_ID = 0x454f4741;
/** Raised with every change of the tables: a file of another format is set aside. */
const FORMAT = 2;
/**
 * SQLite's result codes for a file that is no database, or a damaged one (sqlite.org/rescode.html): CORRUPT, NOTADB, and ERROR, which is
 * what a damaged schema, or a format of another version, makes of our own statements.
 */
const UNREADABLE: readonly unknown[] = [1, 11, 26];

/** The file can be read, and must not be believed. */
export class StateRefusedError extends Error {}

/** The one row that says what the others are. */
export interface PositionRow {
  readonly agent: string;
  readonly epoch: string | null;
  readonly revision: number;
  readonly digest: string;
  /** Digest over what is remembered of trust. */
  readonly memory: string;
  readonly seenMs: number;
}

/** SQLite keeps no checksums: a flipped bit would be another revision, or another time. */
export const checkOf = ({ agent, epoch, revision, digest, memory, seenMs }: PositionRow): string =>
  hash("sha256", JSON.stringify([agent, epoch, revision, digest, memory, seenMs]));

/** Anything else, such as a lock or a full disk, says nothing about the file's worth and must not cost it. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof StateRefusedError) return true;
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" && UNREADABLE.includes(error.errcode & 0xff);
}

/** @throws StateRefusedError when the file must not be believed, SQLite's error when it cannot be used */
export function openDatabase(file: string, agent: string): { readonly db: DatabaseSync; readonly position: PositionRow } {
  makePrivateFile(file);
  const db = new DatabaseSync(file);
  try {
    const pragma = (name: string): unknown => Object.values(db.prepare(`pragma ${name}`).get() ?? {})[0];
    const tables = db.prepare("select count(*) as n from sqlite_schema").get()?.n;
    if (tables === 0) create(db, agent);
    if (pragma("application_id") !== APPLICATION_ID) throw new StateRefusedError("the file is not an agent's state");
    if (pragma("user_version") !== FORMAT)
      throw new StateRefusedError(`the file has format ${String(pragma("user_version"))}, this program reads ${FORMAT}`);
    if (pragma("quick_check(1)") !== "ok") throw new StateRefusedError("the file is damaged");
    const position = readPosition(db);
    if (position.agent !== agent) throw new StateRefusedError(`the file belongs to agent '${position.agent}'`);
    db.exec("pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 1000");
    return { db, position };
  } catch (error) {
    db.close();
    throw error;
  }
}

function readPosition(db: DatabaseSync): PositionRow {
  const row = select(db).get();
  if (row === undefined) throw new StateRefusedError("the file says nothing of itself");
  const position = {
    agent: String(row.agent),
    epoch: row.epoch === null ? null : String(row.epoch),
    revision: Number(row.revision),
    digest: String(row.digest),
    memory: String(row.memory),
    seenMs: Number(row.seen_ms),
  };
  if (row.sum !== checkOf(position)) throw new StateRefusedError("what the file says of itself does not add up");
  return position;
}

/** A file with other tables than its format has is no state of ours either. */
function select(db: DatabaseSync) {
  try {
    return db.prepare("select agent, epoch, revision, digest, memory, seen_ms, sum from position where id = 1");
  } catch (cause) {
    throw new StateRefusedError("the file lacks its tables", { cause });
  }
}

function create(db: DatabaseSync, agent: string): void {
  const empty = "0".repeat(32);
  const position = { agent, epoch: null, revision: 0, digest: empty, memory: empty, seenMs: 0 };
  db.exec(`begin immediate;
    create table rules (lane text not null, prefix text not null, expires_at integer not null, primary key (lane, prefix)) without rowid;
    create table trust (held integer not null, target text not null, id text not null, body text not null, primary key (held, target, id)) without rowid;
    create table tombstones (key text primary key, value integer not null) without rowid;
    create table numbers (key text primary key, value integer not null) without rowid;
    create table position (id integer primary key, agent text not null, epoch text, revision integer not null, digest text not null,
      memory text not null, seen_ms integer not null, sum text not null);
    pragma application_id = ${APPLICATION_ID};
    pragma user_version = ${FORMAT};`);
  db.prepare("insert into position values (1, ?, null, 0, ?, ?, 0, ?)").run(agent, empty, empty, checkOf(position));
  db.exec("commit");
}

/** The newest refused file is kept, for whoever wants to know. */
export function setAside(file: string): void {
  for (const suffix of ["-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true });
  renameSync(file, `${file}.refused`);
}
