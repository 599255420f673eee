import type { DatabaseSync } from "node:sqlite";
import type { Rule } from "./desired.ts";

/** Rules in one statement of a save of the whole: half the time of one by one where they come in order, as the feed's do (measured). */
const BATCH = 100;
const INSERT = "insert or replace into rules (lane, prefix, expires_at) values";

/** What writes the state file's rules. */
export class RuleLines {
  readonly #one;
  readonly #many;
  readonly #remove;

  constructor(db: DatabaseSync) {
    this.#one = db.prepare(`${INSERT} (?, ?, ?)`);
    this.#many = db.prepare(`${INSERT} ${Array(BATCH).fill("(?, ?, ?)").join(", ")}`);
    this.#remove = db.prepare("delete from rules where lane = ? and prefix = ?");
  }

  set(lane: string, prefix: string, expiresAt: number): void {
    this.#one.run(lane, prefix, expiresAt);
  }

  remove(lane: string, prefix: string): void {
    this.#remove.run(lane, prefix);
  }

  /** Writes all of them; yields after each statement how many rows that were. */
  *setAll(rules: Iterable<Rule>): Generator<number> {
    let values: (string | number)[] = [];
    for (const { lane, prefix, expiresAt } of rules) {
      values.push(lane, prefix, expiresAt);
      if (values.length < BATCH * 3) continue;
      this.#many.run(...values);
      values = [];
      yield BATCH;
    }
    for (let at = 0; at < values.length; at += 3) {
      this.#one.run(...values.slice(at, at + 3));
      yield 1;
    }
  }
}
