import { all, type Builder, type Command, first } from "../store/store.ts";
import type { Issued } from "./authority.ts";

/** Notes a certificate in the transaction of what it was made for: a client's that is not in here admits nobody. */
export function* recordCertificate(db: Builder, { fingerprint, serial, issuer, subject, notBefore, notAfter, pem }: Issued): Command<void> {
  const row = { fingerprint, serial, issuer, subject, not_before: notBefore, not_after: notAfter, revoked_at: null, pem };
  yield* all(db.insertInto("certificates").values(row));
}

/** Ends a certificate, known by its fingerprint. A second time changes nothing. */
export function* revokeCertificate(db: Builder, fingerprint: string, now: number): Command<void> {
  yield* all(
    db.updateTable("certificates").set({ revoked_at: now }).where("fingerprint", "=", fingerprint).where("revoked_at", "is", null),
  );
}

/** True while that certificate is one of ours, for that subject, and not revoked. Its times are TLS's to check. */
export function* isLive(db: Builder, fingerprint: string, subject: string): Command<boolean> {
  const row = yield* first(
    db.selectFrom("certificates").select("revoked_at").where("fingerprint", "=", fingerprint).where("subject", "=", subject),
  );
  return row !== undefined && row.revoked_at === null;
}
