import type { RevocationReason } from "../../lib/admin/api.ts";
import { wantCrl } from "../store/crls.ts";
import { preparedRows } from "../store/prepared.ts";
import { type Builder, type Command, first } from "../store/store.ts";
import type { Issued } from "./authority.ts";

interface Recorded {
  readonly device: string | null;
  readonly from: number;
  readonly to: number;
}

const insertCertificates = preparedRows((db, rows: readonly (Omit<Issued, "notBefore" | "notAfter"> & Recorded)[]) =>
  db.insertInto("certificates").values(
    rows.map((v) => ({
      fingerprint: v.fingerprint,
      serial: v.serial,
      issuer: v.issuer,
      subject: v.subject,
      device: v.device,
      state: "live" as const,
      not_before: v.from,
      not_after: v.to,
      ends_at: v.to,
      revoked_at: null,
      reason: null,
      pem: v.pem,
    })),
  ),
);

/**
 * Notes a certificate in the transaction of what it was made for: a client's that is not in here admits nobody.
 * @param device whose it is; null for those of the infrastructure
 */
export const recordCertificate = (db: Builder, issued: Issued, device: string | null = null): Command<void> =>
  recordCertificates(db, [{ issued, device }]);

/** As {@link recordCertificate}, of many. */
export function* recordCertificates(
  db: Builder,
  certificates: readonly { readonly issued: Issued; readonly device: string | null }[],
): Command<void> {
  yield* insertCertificates(
    db,
    certificates.map(({ issued: { notBefore, notAfter, ...issued }, device }) => ({ ...issued, device, from: notBefore, to: notAfter })),
  );
}

/**
 * Ends a certificate, known by its fingerprint, and has its CA's next list name it; also one that another took the place of, which is
 * good by X.509 until its own end. Write it with wake "revocation".
 * @returns whether that changed anything: a second time does not
 */
export function* revokeCertificate(db: Builder, fingerprint: string, now: number, reason: RevocationReason): Command<boolean> {
  const ended = yield* first(
    db
      .updateTable("certificates")
      .set({ state: "revoked", revoked_at: now, reason })
      .where("fingerprint", "=", fingerprint)
      .where("state", "in", ["live", "superseded"])
      .returning("issuer"),
  );
  if (ended === undefined) return false;
  yield* wantCrl(db, ended.issuer);
  return true;
}

/**
 * True while that certificate is one of ours, for that subject, neither revoked nor over. TLS looks at its end in a full handshake
 * alone: a connection that stays open, or is resumed, outlives it.
 */
export function* isLive(db: Builder, fingerprint: string, subject: string, now: number): Command<boolean> {
  const row = yield* first(
    db.selectFrom("certificates").select(["state", "not_after"]).where("fingerprint", "=", fingerprint).where("subject", "=", subject),
  );
  return row !== undefined && row.state !== "revoked" && row.not_after > now;
}
