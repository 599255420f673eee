import { PROOF_WINDOW_MS } from "../../lib/registration/submission.ts";
import { prepared } from "../store/prepared.ts";
import { assertLead, commitChanges } from "../store/queries.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { endGrants } from "./grants.ts";

/** Most grants that end in one transaction, and most nonces that leave in one. */
export const EXPIRY_BATCH = 500;
/** A nonce is kept for twice as long as its proof could count, so that a clock set back lets no proof count again. */
const NONCE_KEPT_MS = 2 * PROOF_WINDOW_MS;

const selectExpired = prepared((db, v: { now: number; limit: number }) =>
  db
    .selectFrom("grants")
    .select(["id", "lane", "prefix", "expires_at as endedAt"])
    .where("ended_at", "is", null)
    .where("expires_at", "<=", v.now)
    .orderBy("expires_at")
    .limit(v.limit),
);

/**
 * Ends a batch of grants whose time has come; what that changes in the rules become revisions. Write it with wake "head".
 * @returns how many ended; a full batch means that more may wait
 * @throws Problem not_leading
 */
export function* expireGrants(db: Builder, lead: Lead, { now }: { readonly now: number }): Command<{ ended: number; revision: number }> {
  yield* assertLead(db, lead);
  const expired = yield* all(selectExpired(db, { now, limit: EXPIRY_BATCH }));
  const changes = yield* endGrants(db, expired, { reason: "expired", now });
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  return { ended: expired.length, revision };
}

const selectNext = prepared((db) =>
  db.selectFrom("grants").select("expires_at").where("ended_at", "is", null).orderBy("expires_at").limit(1),
);

/** When the next grant runs out; null when none lives. */
export function* nextExpiry(db: Builder): Command<number | null> {
  return (yield* first(selectNext(db, {})))?.expires_at ?? null;
}

const deleteNonces = prepared((db, v: { before: number; limit: number }) =>
  db
    .deleteFrom("nonces")
    .where(({ eb, refTuple, selectFrom }) =>
      eb(
        refTuple("signer", "nonce"),
        "in",
        selectFrom("nonces as old")
          .select(["old.signer", "old.nonce"])
          .where("old.time", "<", v.before)
          .orderBy("old.time")
          .limit(v.limit)
          .$asTuple("signer", "nonce"),
      ),
    )
    .returning("time"),
);

/** Lets used nonces go that no proof can come with any more. @returns how many; a full batch means that more may wait */
export function* forgetNonces(db: Builder, lead: Lead, { now }: { readonly now: number }): Command<number> {
  yield* assertLead(db, lead);
  return (yield* all(deleteNonces(db, { before: now - NONCE_KEPT_MS, limit: EXPIRY_BATCH }))).length;
}
