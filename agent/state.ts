import type { DatabaseSync } from "node:sqlite";
import { StateDigest } from "../lib/feed/digest.ts";
import { trustSetSchema } from "../lib/feed/messages.ts";
import type { Log } from "../lib/log.ts";
import type { Belief } from "./belief.ts";
import { type Ceiling, DesiredState, type Pending } from "./desired.ts";
import { tooMuch } from "./room.ts";
import { checkedRule } from "./rule.ts";
import { checkOf, isRefusal, openDatabase, type PositionRow, setAside } from "./state-open.ts";
import { RuleLines } from "./state-rules.ts";
import type { TrustDifference } from "./target.ts";
import type { Entry } from "./tracked.ts";
import type { TrustRow } from "./trust.ts";

/** The revision that is in force, and the latest registry time seen. */
export interface Position {
  readonly epoch: string;
  readonly revision: number;
  readonly digest: string;
  readonly seenMs: number;
}

/** A save of the whole state that is under way: one transaction, written a slice at a time. Disposing undoes what is not committed. */
export interface Replacement extends Disposable {
  /** Writes the next slice. @returns false when all is written */
  step(): boolean;
  /** Durable when it returns. */
  commit(): void;
}

/** Rows of one slice: a few milliseconds. */
const SLICE_ROWS = 1_000;

/**
 * The last good state on disk. Each save is one durable transaction, so what a crash leaves is one revision whole;
 * the digests are checked on load, and a file that is torn, foreign or another agent's is set aside, never believed.
 */
export class StateFile implements Disposable {
  readonly #db: DatabaseSync;
  readonly #lines;
  /** What is durable. */
  #position: PositionRow;
  #intact = false;

  private constructor({ db, position }: ReturnType<typeof openDatabase>) {
    this.#db = db;
    this.#position = position;
    this.#lines = {
      rules: new RuleLines(db),
      setTrust: db.prepare("insert or replace into trust (held, target, id, body) values (?, ?, ?, ?)"),
      removeTrust: db.prepare("delete from trust where held = ? and target = ? and id = ?"),
      tombstones: memoryLines(db, "tombstones"),
      numbers: memoryLines(db, "numbers"),
      position: db.prepare("update position set epoch = ?, revision = ?, digest = ?, memory = ?, seen_ms = ?, sum = ? where id = 1"),
    };
  }

  /**
   * Opens or makes the file. A file that cannot be believed is renamed to `FILE.refused` (the newest one is kept) and a new one begun:
   * the host is then closed until the feed brings a snapshot.
   */
  static open(file: string, agent: string, log: Log): StateFile {
    try {
      return StateFile.#opened(file, agent);
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

  static #opened(file: string, agent: string): StateFile {
    const opened = openDatabase(file, agent);
    try {
      return new StateFile(opened);
    } catch (error) {
      opened.db.close();
      throw error;
    }
  }

  /** Latest registry time that was saved, integer milliseconds; 0 when none was. */
  get seenMs(): number {
    return this.#position.seenMs;
  }

  /** What {@link load} gave is what the file holds, to the row: differences may go on top. */
  get intact(): boolean {
    return this.#intact;
  }

  /** The saved state, checked against its digests, or an empty one; `belief` gets what it had remembered. */
  load(ceiling: Ceiling, belief: Belief | null, log: Log): DesiredState {
    const { epoch, revision, digest, memory } = this.#position;
    this.#intact = false;
    try {
      const desired = new DesiredState(ceiling, belief);
      if (epoch === null) return desired;
      this.#loadMemory(belief, memory);
      for (const row of this.#db.prepare("select lane, prefix, expires_at from rules").iterate()) {
        desired.load(checkedRule(String(row.lane), String(row.prefix), Number(row.expires_at)));
      }
      // What is believed first: of a CRL that is held back, the earlier one stands beside it.
      for (const row of this.#db.prepare("select target, id, body from trust order by held").iterate()) {
        desired.loadTrust(trustSetSchema.parse({ kind: "trust.set", ...row }));
        const excess = tooMuch(desired.counts);
        if (excess !== null) throw new RangeError(`it holds ${excess}, more than any host takes`);
      }
      if (desired.digest !== digest) throw new Error(`digest is ${desired.digest}, saved was ${digest}`);
      desired.epoch = epoch;
      desired.revision = revision;
      // The digest covers the rules. Of trust, what is believed today may not be what was when it was saved.
      this.#intact = desired.isTrust(this.#trustRows());
      return desired;
    } catch (error) {
      log.error({ err: error }, "Cannot believe the saved state; the gate stays closed until the feed brings a snapshot");
      belief?.forget();
      return new DesiredState(ceiling, belief);
    }
  }

  /** Saves what was just applied on top of what is saved. Durable when it returns. */
  save(position: Position, { rules, trust, heldBack, heldTrust, tombstones, numbers }: Pending): void {
    this.#transaction(position, (memory) => {
      // A rule that was held back and no longer is differs in both lists: what goes, goes first.
      const all = [...rules, ...heldBack];
      for (const { lane, prefix, wanted } of all) if (wanted === null) this.#lines.rules.remove(lane, prefix);
      for (const { lane, prefix, wanted } of all) if (wanted !== null) this.#lines.rules.set(lane, prefix, wanted);
      this.#saveTrust(0, trust);
      this.#saveTrust(1, heldTrust);
      this.#saveMemory("tombstones", tombstones, memory);
      this.#saveMemory("numbers", numbers, memory);
    });
  }

  /** Saves the state whole, in one transaction. Durable when it returns. */
  replace(position: Position, desired: DesiredState): void {
    using whole = this.begin(position, desired);
    while (whole.step());
    whole.commit();
  }

  /** As {@link replace}, in slices. Until it is committed or disposed of, the state must not change, and nothing else is saved. */
  begin(position: Position, desired: DesiredState): Replacement {
    const before = this.#begin();
    const memory = new StateDigest(before.memory);
    const rows = this.#rewrite(desired, memory);
    return {
      step() {
        for (let count = 0; count < SLICE_ROWS; ) {
          const written = rows.next();
          if (written.done) return false;
          count += written.value;
        }
        return true;
      },
      commit: () => this.#commit(before, position, memory),
      [Symbol.dispose]: () => this.#rollback(),
    };
  }

  /** Keeps the latest registry time seen, so that a clock set back while the agent is down gives nobody a longer life. */
  saveTime(seenMs: number): void {
    // A replacement that is under way brings its own.
    if (seenMs > this.#position.seenMs && !this.#db.isTransaction) this.#writePosition({ ...this.#position, seenMs });
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  /** Writes everything anew; yields after each statement or two how many rows that were. */
  *#rewrite(desired: DesiredState, memory: StateDigest): Generator<number> {
    this.#db.exec("delete from rules; delete from trust");
    for (const rules of [desired.rules(), desired.heldBack()]) yield* this.#lines.rules.setAll(rules);
    for (const [held, entries] of [desired.trust(), desired.heldTrust()].entries()) {
      for (const { target, id, body } of entries) {
        this.#lines.setTrust.run(held, target, id, body);
        yield 1;
      }
    }
    for (const table of ["tombstones", "numbers"] as const) {
      for (const [key, applied] of [...memoryOf(this.#db, table)]) {
        this.#saveMemory(table, [{ key, applied, wanted: null }], memory);
        yield 1;
      }
      for (const [key, wanted] of desired.belief?.[table].entries() ?? []) {
        this.#saveMemory(table, [{ key, applied: null, wanted }], memory);
        yield 1;
      }
    }
  }

  *#trustRows(): Generator<TrustRow> {
    for (const { held, target, id, body } of this.#db.prepare("select held, target, id, body from trust").iterate())
      yield { held: held === 1, target: String(target), id: String(id), body: String(body) };
  }

  #saveTrust(held: 0 | 1, differences: readonly TrustDifference[]): void {
    for (const { target, id, wanted } of differences) {
      if (wanted === null) this.#lines.removeTrust.run(held, target, id);
      else this.#lines.setTrust.run(held, target, id, wanted);
    }
  }

  #saveMemory(table: Memory, differences: readonly Entry<number>[], digest: StateDigest): void {
    const { set, remove, get } = this.#lines[table];
    for (const { key, wanted } of differences) {
      const old = get.get(key)?.value;
      if (old !== undefined) digest.remove(memoryLine(table, key, Number(old)));
      if (wanted === null) remove.run(key);
      else {
        set.run(key, wanted);
        digest.add(memoryLine(table, key, wanted));
      }
    }
  }

  #loadMemory(belief: Belief | null, saved: string): void {
    const digest = new StateDigest();
    for (const table of ["tombstones", "numbers"] as const) {
      for (const [key, value] of memoryOf(this.#db, table)) {
        digest.add(memoryLine(table, key, value));
        belief?.[table].fill(key, value);
      }
    }
    if (digest.hex !== saved) throw new Error(`digest of what is remembered is ${digest.hex}, saved was ${saved}`);
  }

  #writePosition(position: PositionRow): void {
    const { epoch, revision, digest, memory, seenMs } = position;
    this.#lines.position.run(epoch, revision, digest, memory, seenMs, checkOf(position));
    // Not before: a write that fails leaves what is durable.
    this.#position = position;
  }

  #transaction(position: Position, work: (memory: StateDigest) => void): void {
    const before = this.#begin();
    try {
      const memory = new StateDigest(before.memory);
      work(memory);
      this.#commit(before, position, memory);
    } catch (error) {
      this.#rollback();
      throw error;
    }
  }

  /** @returns what is durable */
  #begin(): PositionRow {
    this.#db.exec("begin immediate");
    return this.#position;
  }

  #commit(before: PositionRow, position: Position, memory: StateDigest): void {
    const seenMs = Math.max(before.seenMs, position.seenMs);
    try {
      this.#writePosition({ agent: before.agent, ...position, memory: memory.hex, seenMs });
      this.#db.exec("commit");
    } catch (error) {
      this.#position = before;
      throw error;
    }
  }

  /** Undoes a transaction that is open; of one that failed SQLite may have undone it already. */
  #rollback(): void {
    if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec("rollback");
  }
}

type Memory = "tombstones" | "numbers";

const memoryLine = (table: Memory, key: string, value: number): string => `${table} ${key} ${value}`;

const memoryLines = (db: DatabaseSync, table: Memory) => ({
  get: db.prepare(`select value from ${table} where key = ?`),
  set: db.prepare(`insert or replace into ${table} (key, value) values (?, ?)`),
  remove: db.prepare(`delete from ${table} where key = ?`),
});

function* memoryOf(db: DatabaseSync, table: Memory): Generator<[string, number]> {
  for (const row of db.prepare(`select key, value from ${table}`).iterate()) yield [String(row.key), Number(row.value)];
}
