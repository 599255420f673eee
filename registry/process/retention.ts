import { sql } from "kysely";
import { atMost, prepared } from "../store/prepared.ts";
import { assertLead } from "../store/queries.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";

/** Most rows of a kind that leave in one transaction. */
export const TRIM_BATCH = 500;
/** Refused submissions are told about for an hour, and so many of them at most: a flood of refusals fills no disk. */
export const REFUSED_KEPT_MS = 60 * 60_000;
export const REFUSED_KEPT = 20_000;
/** A device's newest submissions that were done, beside the one that enrolled it. It may be asked for by each, and leave by each. */
export const DONE_KEPT = 3;
/** Ended grants: a device's newest, and of all none that ended longer ago. The audit log tells of them for ever. */
export const ENDED_GRANTS_KEPT = 64;
export const ENDED_GRANTS_KEPT_MS = 30 * 24 * 60 * 60_000;

const deleteOutcome = prepared((db, v: { submission: string }) => db.deleteFrom("outcomes").where("submission", "=", v.submission));
const deleteSubmission = prepared((db, v: { id: string }) => db.deleteFrom("submissions").where("id", "=", v.id));
const deleteGrant = prepared((db, v: { id: string }) => db.deleteFrom("grants").where("id", "=", v.id));

/** Conditions are written out where an index holds such rows alone. */
const REFUSED = sql<boolean>`status >= 400`;
const ENDED = sql<boolean>`ended_at is not null`;

const selectRefused = prepared((db, v: { until: number; limit: number }) =>
  db.selectFrom("outcomes").select("submission").where(REFUSED).where("at", "<=", v.until).orderBy("at").limit(atMost(v.limit)),
);
const selectOneTooMany = prepared((db) =>
  db.selectFrom("outcomes").select("at").where(REFUSED).orderBy("at", "desc").limit(sql.lit(1)).offset(sql.lit(REFUSED_KEPT)),
);

/**
 * Lets refused submissions go, with their outcomes and Idempotency-Keys: a repeat is then refused for its nonce.
 * @returns how many; a full batch means that more may wait
 * @throws Problem not_leading
 */
export function* forgetRefused(db: Builder, lead: Lead, { now }: { readonly now: number }): Command<number> {
  yield* assertLead(db, lead);
  const tooMany = (yield* first(selectOneTooMany(db, {})))?.at ?? Number.NEGATIVE_INFINITY;
  const rows = yield* all(selectRefused(db, { until: Math.max(now - REFUSED_KEPT_MS, tooMany), limit: TRIM_BATCH }));
  for (const { submission } of rows) yield* forget(db, submission);
  return rows.length;
}

const selectEnded = prepared((db, v: { before: number; limit: number }) =>
  db.selectFrom("grants").select("id").where(ENDED).where("ended_at", "<", v.before).orderBy("ended_at").limit(atMost(v.limit)),
);

/** Lets grants go that ended long ago. @returns as {@link forgetRefused} @throws Problem not_leading */
export function* forgetGrants(db: Builder, lead: Lead, { now }: { readonly now: number }): Command<number> {
  yield* assertLead(db, lead);
  const rows = yield* all(selectEnded(db, { before: now - ENDED_GRANTS_KEPT_MS, limit: TRIM_BATCH }));
  for (const { id } of rows) yield* all(deleteGrant(db, { id }));
  return rows.length;
}

const selectOlderDone = prepared((db, v: { device: string }) =>
  db
    .selectFrom("outcomes")
    .select("submission")
    .where("device", "=", v.device)
    .where(({ eb, selectFrom }) =>
      eb(
        "submission",
        ">",
        selectFrom("outcomes as own")
          .select(({ fn }) => fn.min("own.submission").as("enrolment"))
          .where("own.device", "=", v.device),
      ),
    )
    .orderBy("submission", "desc")
    .limit(sql.lit(TRIM_BATCH))
    .offset(sql.lit(DONE_KEPT - 1)),
);
const selectOlderGrants = prepared((db, v: { device: string }) =>
  db
    .selectFrom("grants")
    .select("id")
    .where("device", "=", v.device)
    .where(ENDED)
    .orderBy("id", "desc")
    .limit(sql.lit(TRIM_BATCH))
    .offset(sql.lit(ENDED_GRANTS_KEPT)),
);

/** Makes room for one more submission of a device: however often it renews, it takes as much of the disk as others do. */
export function* makeRoom(db: Builder, device: string): Command<void> {
  for (const { submission } of yield* all(selectOlderDone(db, { device }))) yield* forget(db, submission);
  for (const { id } of yield* all(selectOlderGrants(db, { device }))) yield* all(deleteGrant(db, { id }));
}

function* forget(db: Builder, submission: string): Command<void> {
  yield* all(deleteOutcome(db, { submission }));
  yield* all(deleteSubmission(db, { id: submission }));
}
