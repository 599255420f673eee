import { sql } from "kysely";
import { atMost, prepared } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command, first } from "./store.ts";

/** Attempts are counted in windows of this length; a window begins with its first attempt. */
export const ATTEMPT_WINDOW_MS = 60 * 60_000;
/** Signers whose wrong proofs are counted apart for one source; those of all others are counted together. */
export const MAX_SIGNERS = 16;
/** Most rows; at the bound the windows that began first make room. Who could fill it has more sources than any limit on one reaches. */
export const MAX_ATTEMPTS = 200_000;
/** Most rows that one turn of trimming takes away. */
export const TRIM_BATCH = 1_000;

/** Signer of the row that counts what was rightly signed. */
export const RIGHT = "";
/** Signer of the row that counts wrong proofs of signers beyond {@link MAX_SIGNERS}. */
export const OTHERS = "*";

type Row = Database["attempts"];

const selectOf = prepared((db, v: { source: string; begin: number; end: number }) =>
  db
    .selectFrom("attempts")
    .select(["signer", "since", "count"])
    .where("source", "=", v.source)
    .where("since", ">", v.begin)
    .where("since", "<", v.end)
    // Right proofs, others, and each signer that is counted apart.
    .limit(sql.lit(MAX_SIGNERS + 2)),
);

/** What counts now of one source: a clock that was set back forgets nothing for longer than a window. */
export function readAttempts(
  db: Builder,
  { source, now }: { readonly source: string; readonly now: number },
): Command<Omit<Row, "source">[]> {
  return all(selectOf(db, { source, begin: now - ATTEMPT_WINDOW_MS, end: now + ATTEMPT_WINDOW_MS }));
}

const upsert = prepared((db, v: { source: string; signer: string; now: number; times: number; begin: number; end: number }) =>
  db
    .insertInto("attempts")
    .values({ source: v.source, signer: v.signer, since: v.now, count: v.times })
    .onConflict((conflict) =>
      conflict.columns(["source", "signer"]).doUpdateSet(({ eb, and, ref, case: when }) => {
        const open = and([eb("attempts.since", ">", v.begin), eb("attempts.since", "<", v.end)]);
        return {
          count: when()
            .when(open)
            .then(eb("attempts.count", "+", eb.ref("excluded.count")))
            .else(ref("excluded.count"))
            .end(),
          since: when().when(open).then(ref("attempts.since")).else(ref("excluded.since")).end(),
        };
      }),
    )
    .returning(["since", "count"]),
);

/** Counts attempts, one unless said: one row is written. @returns the row afterwards */
export function* countAttempt(
  db: Builder,
  { source, signer, now, times = 1 }: { readonly source: string; readonly signer: string; readonly now: number; readonly times?: number },
): Command<{ since: number; count: number }> {
  const row = yield* first(upsert(db, { source, signer, now, times, begin: now - ATTEMPT_WINDOW_MS, end: now + ATTEMPT_WINDOW_MS }));
  if (row === undefined) throw new Error("Storage counted no attempt");
  return row;
}

const deletePast = prepared((db, v: { begin: number; end: number; limit: number }) =>
  db
    .deleteFrom("attempts")
    .where(({ eb, refTuple, selectFrom }) =>
      eb(
        refTuple("source", "signer"),
        "in",
        selectFrom("attempts as past")
          .select(["past.source", "past.signer"])
          .where((past) => past.or([past("past.since", "<=", v.begin), past("past.since", ">=", v.end)]))
          .limit(atMost(v.limit))
          .$asTuple("source", "signer"),
      ),
    )
    .returning("since"),
);
const deleteFirst = prepared((db, v: { limit: number }) =>
  db
    .deleteFrom("attempts")
    .where(({ eb, refTuple, selectFrom }) =>
      eb(
        refTuple("source", "signer"),
        "in",
        selectFrom("attempts as oldest")
          .select(["oldest.source", "oldest.signer"])
          .orderBy("oldest.since")
          .limit(atMost(v.limit))
          .$asTuple("source", "signer"),
      ),
    )
    .returning("since"),
);

/**
 * Takes away windows that are over and, above {@link MAX_ATTEMPTS}, those that began first; at most {@link TRIM_BATCH} of each.
 * @returns true when more may be left to take away
 */
export function* trimAttempts(
  db: Builder,
  { now, most = MAX_ATTEMPTS }: { readonly now: number; readonly most?: number },
): Command<boolean> {
  const past = yield* all(deletePast(db, { begin: now - ATTEMPT_WINDOW_MS, end: now + ATTEMPT_WINDOW_MS, limit: TRIM_BATCH }));
  const counted = yield* first(db.selectFrom("attempts").select((eb) => eb.fn.countAll<number>().as("n")));
  const excess = Number(counted?.n ?? 0) - most;
  if (excess > 0) yield* all(deleteFirst(db, { limit: Math.min(excess, TRIM_BATCH) }));
  return past.length === TRIM_BATCH || excess > TRIM_BATCH;
}
