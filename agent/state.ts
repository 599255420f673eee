import { renameSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { trustSetSchema } from "../lib/feed/messages.ts";
import { makePrivateFile } from "../lib/file.ts";
import type { Log } from "../lib/log.ts";
import { type Ceiling, DesiredState, type Pending } from "./desired.ts";
import { checkedRule } from "./rule.ts";

/** "EOGA": marks the file as ours (SQLite's application_id). */
const APPLICATION_ID = 0x454f4741;
const FORMAT = 1;
/** SQLite's result codes for a file that is no database, or a damaged one (sqlite.org/rescode.html). */
const UNREADABLE: readonly unknown[] = [11, 26];

/** The revision that is in force, and the latest registry time seen. */
export interface Position {
  readonly epoch: string;
  readonly revision: number;
  readonly digest: string;
  readonly seenMs: number;
}

/**
 * The last good state on disk. Each save is one durable transaction, so what a crash leaves is one revision whole;
 * the digest is checked on load, and a file that is torn, foreign or another agent's is set aside, never believed.
 */
export class StateFile implements Disposable {
  readonly #db: DatabaseSync;
  readonly #lines;

  private constructor(db: DatabaseSync) {
    this.#db = db;
    this.#lines = {
      set: db.prepare(
        "insert into rules (lane, prefix, expires_at) values (?, ?, ?) on conflict (lane, prefix) do update set expires_at = excluded.expires_at",
      ),
      remove: db.prepare("delete from rules where lane = ? and prefix = ?"),
      setTrust: db.prepare(
        "insert into trust (target, id, body) values (?, ?, ?) on conflict (target, id) do update set body = excluded.body",
      ),
      removeTrust: db.prepare("delete from trust where target = ? and id = ?"),
      position: db.prepare("update position set epoch = ?, revision = ?, digest = ?, seen_ms = ? where id = 1"),
    };
  }

  /**
   * Opens or makes the file. A file that cannot be believed is renamed to `FILE.refused` (the newest one is kept) and a new one begun:
   * the host is then closed until the feed brings a snapshot.
   */
  static open(file: string, agent: string, log: Log): StateFile {
    try {
      return new StateFile(openDatabase(file, agent));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      log.error(
        { file, err: error },
        "Cannot use the saved state; it is set aside and the gate stays closed until the feed brings a snapshot",
      );
      setAside(file);
      return new StateFile(openDatabase(file, agent));
    }
  }

  /** The saved state, checked against its digest, or an empty one. `seenMs` is 0 when nothing was saved. */
  load(ceiling: Ceiling, log: Log): { desired: DesiredState; seenMs: number } {
    const empty = { desired: new DesiredState(ceiling), seenMs: 0 };
    try {
      const position = this.#db.prepare("select epoch, revision, digest, seen_ms from position where id = 1").get();
      if (position === undefined || typeof position.epoch !== "string") return empty;
      const desired = new DesiredState(ceiling);
      for (const row of this.#db.prepare("select lane, prefix, expires_at from rules").iterate()) {
        desired.load(checkedRule(String(row.lane), String(row.prefix), Number(row.expires_at)));
      }
      for (const row of this.#db.prepare("select target, id, body from trust").iterate()) {
        desired.loadTrust(trustSetSchema.parse({ kind: "trust.set", ...row }));
      }
      if (desired.digest !== position.digest) throw new Error(`digest is ${desired.digest}, saved was ${String(position.digest)}`);
      desired.epoch = position.epoch;
      desired.revision = Number(position.revision);
      return { desired, seenMs: Number(position.seen_ms) };
    } catch (error) {
      log.error({ err: error }, "Cannot believe the saved state; the gate stays closed until the feed brings a snapshot");
      return empty;
    }
  }

  /** Saves what was just applied on top of what is saved. Durable when it returns. */
  save(position: Position, { rules, trust, heldBack }: Pending): void {
    this.#transaction(() => {
      // A rule that was held back and no longer is differs in both lists: what goes, goes first.
      const all = [...rules, ...heldBack];
      for (const { lane, prefix, wanted } of all) if (wanted === null) this.#lines.remove.run(lane, prefix);
      for (const { lane, prefix, wanted } of all) if (wanted !== null) this.#lines.set.run(lane, prefix, wanted);
      for (const { target, id, wanted } of trust) {
        if (wanted === null) this.#lines.removeTrust.run(target, id);
        else this.#lines.setTrust.run(target, id, wanted);
      }
      this.#writePosition(position);
    });
  }

  /** Saves the state whole, in one transaction. Durable when it returns. */
  replace(position: Position, desired: DesiredState): void {
    this.#transaction(() => {
      this.#db.exec("delete from rules; delete from trust");
      for (const { lane, prefix, expiresAt } of desired.rules()) this.#lines.set.run(lane, prefix, expiresAt);
      for (const { lane, prefix, expiresAt } of desired.heldBack()) this.#lines.set.run(lane, prefix, expiresAt);
      for (const { target, id, body } of desired.trust()) this.#lines.setTrust.run(target, id, body);
      this.#writePosition(position);
    });
  }

  /** Keeps the latest registry time seen, so that a clock set back while the agent is down gives nobody a longer life. */
  saveTime(seenMs: number): void {
    this.#db.prepare("update position set seen_ms = max(seen_ms, ?) where id = 1").run(seenMs);
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #writePosition(position: Position): void {
    this.#lines.position.run(position.epoch, position.revision, position.digest, position.seenMs);
  }

  #transaction(work: () => void): void {
    this.#db.exec("begin immediate");
    try {
      work();
      this.#db.exec("commit");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("rollback");
      throw error;
    }
  }
}

/** The file can be read, and must not be believed. */
class StateRefusedError extends Error {}

/** Anything else, such as a lock or a full disk, says nothing about the file's worth and must not cost it. */
function isRefusal(error: unknown): boolean {
  if (error instanceof StateRefusedError) return true;
  return error instanceof Error && "errcode" in error && UNREADABLE.includes(error.errcode);
}

function openDatabase(file: string, agent: string): DatabaseSync {
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
    const owner = db.prepare("select agent from position where id = 1").get()?.agent;
    if (owner !== agent) throw new StateRefusedError(`the file belongs to agent '${String(owner)}'`);
    db.exec("pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 1000");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function create(db: DatabaseSync, agent: string): void {
  db.exec(`begin immediate;
    create table rules (lane text not null, prefix text not null, expires_at integer not null, primary key (lane, prefix)) without rowid;
    create table trust (target text not null, id text not null, body text not null, primary key (target, id)) without rowid;
    create table position (id integer primary key, agent text not null, epoch text, revision integer not null, digest text not null, seen_ms integer not null);
    pragma application_id = ${APPLICATION_ID};
    pragma user_version = ${FORMAT};`);
  db.prepare("insert into position values (1, ?, null, 0, ?, 0)").run(agent, "0".repeat(32));
  db.exec("commit");
}

function setAside(file: string): void {
  for (const suffix of ["-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true });
  renameSync(file, `${file}.refused`);
}
