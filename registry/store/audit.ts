import { hash } from "node:crypto";
import { sql } from "kysely";
import { prepared, preparedRows } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command, first, type Reader } from "./store.ts";

const PAGE = 1_000;
/** What the first entry's hash is chained to. */
const BEGINNING = "0".repeat(64);

export interface AuditEntry {
  /** Integer milliseconds. */
  readonly at: number;
  /** `code:SELECTOR`, `device:UUID`, `operator:NAME` or `registry`. */
  readonly actor: string;
  /** What happened: "code.created". */
  readonly action: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

const selectLast = prepared((db) => db.selectFrom("audit").select(["seq", "hash"]).orderBy("seq", "desc").limit(sql.lit(1)));
const insertEntries = preparedRows((db, rows: readonly Database["audit"][]) =>
  db.insertInto("audit").values(
    rows.map((v) => ({
      seq: v.seq,
      at: v.at,
      actor: v.actor,
      action: v.action,
      detail: v.detail,
      previous: v.previous,
      hash: v.hash,
    })),
  ),
);

/** Adds entries to the chain, in the transaction of what they tell, in their order. @returns the last one's number; they count from 1 without gaps */
export function* appendAudit(db: Builder, ...entries: readonly AuditEntry[]): Command<number> {
  const last = yield* first(selectLast(db, {}));
  let [seq, previous] = [last?.seq ?? 0, last?.hash ?? BEGINNING];
  const rows: Database["audit"][] = [];
  for (const { at, actor, action, detail } of entries) {
    seq++;
    const row = { seq, at, actor, action, detail: JSON.stringify(detail), previous };
    previous = chained(row);
    rows.push({ ...row, hash: previous });
  }
  yield* insertEntries(db, rows);
  return seq;
}

/**
 * Reads the whole chain, page by page.
 * @returns how many entries there are, and the number of the first that is not what was written (null when all are)
 */
export async function verifyAudit(reader: Reader): Promise<{ entries: number; ok: boolean; brokenAt: number | null }> {
  let entries = 0;
  let previous = BEGINNING;
  for (;;) {
    const after = entries;
    const rows = await reader.read((db) => all(db.selectFrom("audit").selectAll().where("seq", ">", after).orderBy("seq").limit(PAGE)));
    for (const row of rows) {
      const expected = entries + 1;
      if (row.seq !== expected || row.previous !== previous || row.hash !== chained(row)) return { entries, ok: false, brokenAt: expected };
      entries = expected;
      previous = row.hash;
    }
    if (rows.length < PAGE) return { entries, ok: true, brokenAt: null };
  }
}

/** SHA-256, lower-case hex, over the previous hash and the entry's canonical line. */
const chained = (row: { seq: number; at: number; actor: string; action: string; detail: string; previous: string }): string =>
  hash("sha256", `${row.previous}\n${JSON.stringify([row.seq, row.at, row.actor, row.action, row.detail])}\n`);
