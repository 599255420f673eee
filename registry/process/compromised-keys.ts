import { X509Certificate } from "node:crypto";
import { sql } from "kysely";
import { Problem } from "../../lib/problem.ts";
import { prepared } from "../store/prepared.ts";
import { all, type Builder, type Command } from "../store/store.ts";

/** A device's certificates that are looked at, the newest first. */
const MAX_LOOKED_AT = 1_000;

const selectCompromised = prepared((db, v: { device: string }) =>
  db
    .selectFrom("certificates")
    .select("pem")
    .where("device", "=", v.device)
    .where("state", "=", "revoked")
    .where("reason", "=", "keyCompromise")
    .orderBy("not_before", "desc")
    .limit(sql.lit(MAX_LOOKED_AT)),
);
const selectGood = prepared((db, v: { device: string; now: number }) =>
  db
    .selectFrom("certificates")
    .select(["fingerprint", "subject", "serial", "state", "pem"])
    .where("device", "=", v.device)
    .where("state", "in", ["live", "superseded"])
    .where("not_after", ">", v.now)
    .orderBy("not_before", "desc")
    .limit(sql.lit(MAX_LOOKED_AT)),
);

/**
 * A device gets no certificate for a key of its own that an operator called compromised. Of another device's nobody knows.
 * @throws Problem key_compromised
 */
export function* assertNotCompromised(db: Builder, { device, pem }: { readonly device: string; readonly pem: string }): Command<void> {
  const compromised = yield* all(selectCompromised(db, { device }));
  if (compromised.some((row) => isOfSameKey(row.pem, pem)))
    throw new Problem(422, "key_compromised", "A certificate of this key was revoked because the key is in other hands: make a new key.");
}

/** What else a device holds for a certificate's key, and could be shown still. */
export function* goodOfSameKey(db: Builder, { device, pem, now }: { readonly device: string; readonly pem: string; readonly now: number }) {
  const good = yield* all(selectGood(db, { device, now }));
  return good.filter((row) => isOfSameKey(row.pem, pem));
}

const isOfSameKey = (one: string, other: string): boolean =>
  new X509Certificate(one).publicKey.equals(new X509Certificate(other).publicKey);
