import { sql } from "kysely";
import type { Change } from "../../lib/feed/messages.ts";
import { PROOF_WINDOW_MS } from "../../lib/registration/submission.ts";
import { atMost, prepared } from "../store/prepared.ts";
import { assertLead, commitChanges } from "../store/queries.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { endGrants } from "./grants.ts";
import { endCertificate } from "./held-certificates.ts";

/** Most grants that end in one transaction, and most nonces that leave in one. */
export const EXPIRY_BATCH = 500;
/** A nonce is kept for twice as long as its proof could count, so that a clock set back lets no proof count again. */
const NONCE_KEPT_MS = 2 * PROOF_WINDOW_MS;

const selectExpired = prepared((db, v: { now: number; limit: number }) =>
  db
    .selectFrom("grants")
    .select(["id", "device", "lane", "prefix", "expires_at as endedAt"])
    .where("ended_at", "is", null)
    .where("expires_at", "<=", v.now)
    .orderBy("expires_at")
    .limit(atMost(v.limit)),
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

const selectEnded = prepared((db, v: { now: number; limit: number }) =>
  db
    .selectFrom("certificates")
    .select(["fingerprint", "device", "ends_at", "not_after"])
    // Written out, so that the index over live ones alone is used.
    .where(sql<boolean>`state = 'live'`)
    .where("ends_at", "<=", v.now)
    .orderBy("ends_at")
    .limit(atMost(v.limit)),
);

/**
 * Ends a batch of certificates whose time has come; the gates forget those of devices. Write it with wake "head".
 * @returns how many ended; a full batch means that more may wait
 * @throws Problem not_leading
 */
export function* expireCertificates(
  db: Builder,
  lead: Lead,
  { now }: { readonly now: number },
): Command<{ ended: number; revision: number }> {
  yield* assertLead(db, lead);
  const ended = yield* all(selectEnded(db, { now, limit: EXPIRY_BATCH }));
  const changes: Change[] = [];
  for (const { fingerprint, device, ends_at, not_after } of ended) {
    const change = yield* endCertificate(db, fingerprint, ends_at < not_after ? "superseded" : "expired");
    if (device !== null) changes.push(change);
  }
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  return { ended: ended.length, revision };
}

const selectNextGrant = prepared((db) =>
  db.selectFrom("grants").select("expires_at as at").where("ended_at", "is", null).orderBy("expires_at").limit(sql.lit(1)),
);
const selectNextCertificate = prepared((db) =>
  db.selectFrom("certificates").select("ends_at as at").where(sql<boolean>`state = 'live'`).orderBy("ends_at").limit(sql.lit(1)),
);

/** When the next grant and the next certificate run out, integer milliseconds; null when none lives. */
export function* nextExpiry(db: Builder): Command<{ readonly grant: number | null; readonly certificate: number | null }> {
  const grant = (yield* first(selectNextGrant(db, {})))?.at ?? null;
  return { grant, certificate: (yield* first(selectNextCertificate(db, {})))?.at ?? null };
}

const deleteNonces = prepared((db, v: { before: number; limit: number }) =>
  db
    .deleteFrom("nonces")
    .where(({ eb, refTuple, selectFrom }) =>
      eb(
        refTuple("time", "signer", "nonce"),
        "in",
        selectFrom("nonces as old")
          .select(["old.time", "old.signer", "old.nonce"])
          .where("old.time", "<", v.before)
          .orderBy("old.time")
          .limit(atMost(v.limit))
          .$asTuple("time", "signer", "nonce"),
      ),
    )
    .returning("time"),
);

/** Lets used nonces go that no proof can come with any more. @returns how many; a full batch means that more may wait */
export function* forgetNonces(db: Builder, lead: Lead, { now }: { readonly now: number }): Command<number> {
  yield* assertLead(db, lead);
  return (yield* all(deleteNonces(db, { before: now - NONCE_KEPT_MS, limit: EXPIRY_BATCH }))).length;
}
