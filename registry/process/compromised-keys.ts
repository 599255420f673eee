import { hash, X509Certificate } from "node:crypto";
import { sql } from "kysely";
import { prepared } from "../store/prepared.ts";
import { all, type Builder, type Command, first } from "../store/store.ts";
import { selectGood } from "./held-certificates.ts";

const selectAny = prepared((db, _: object) => db.selectFrom("compromised_keys").select("at").limit(sql.lit(1)));
const selectCompromised = prepared((db, v: { key: string }) =>
  db.selectFrom("compromised_keys").select("at").where("spki_sha256", "=", v.key),
);

/** What a key is known by. @param spki SubjectPublicKeyInfo, DER (RFC 5280 section 4.1.2.7) */
export const keyDigest = (spki: Uint8Array): string => hash("sha256", spki);

const keyDigestOf = (pem: string): string => keyDigest(new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" }));

/** Notes that a certificate's key is in other hands: no certificate is made for it any more, whoever asks. */
export function* noteCompromised(db: Builder, { pem, now }: { readonly pem: string; readonly now: number }): Command<void> {
  const row = { spki_sha256: keyDigestOf(pem), at: now };
  yield* all(
    db
      .insertInto("compromised_keys")
      .values(row)
      .onConflict((conflict) => conflict.doNothing()),
  );
}

/** Of these keys those that are known to be in other hands. Mostly there are none at all. */
export function* compromisedAmong(db: Builder, keys: readonly string[]): Command<ReadonlySet<string>> {
  const found = new Set<string>();
  if (keys.length === 0 || (yield* first(selectAny(db, {}))) === undefined) return found;
  for (const key of keys) if ((yield* first(selectCompromised(db, { key }))) !== undefined) found.add(key);
  return found;
}

/** What a device holds for a certificate's key, and could be shown still. */
export function* goodOfSameKey(db: Builder, { device, pem, now }: { readonly device: string; readonly pem: string; readonly now: number }) {
  const key = keyDigestOf(pem);
  const good = yield* all(selectGood(db, { device, now }));
  return good.filter((row) => row.not_after > now && keyDigestOf(row.pem) === key);
}
