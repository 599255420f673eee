import { sql } from "kysely";
import type { RevocationReason } from "../../lib/admin/api.ts";
import type { Change } from "../../lib/feed/messages.ts";
import { revokeCertificate } from "../ca/ledger.ts";
import type { Pattern } from "../rules/lane.ts";
import { prepared } from "../store/prepared.ts";
import { all, type Builder, type Command } from "../store/store.ts";
import { trustBody } from "../store/trust.ts";

/** How long the certificate before goes on once the next one was made: time enough to put the new one to use everywhere. */
export const OVERLAP_MS = 60 * 60_000;
/** Certificates of one device that count at one time. One more ends the oldest at once. */
export const MAX_LIVE_CERTIFICATES = 4;
/** What a device renewed all the time leaves in its CA's list when it is revoked. */
const MAX_REVOKED_AT_ONCE = 1_000;

const selectLive = prepared((db, v: { device: string }) =>
  db
    .selectFrom("certificates")
    .select(["fingerprint", "ends_at"])
    .where("device", "=", v.device)
    .where("state", "=", "live")
    .orderBy("not_before", "desc"),
);
/** What a device could still show: those that count, and those before them whose own end is not there yet; the newest first. */
export const selectGood = prepared((db, v: { device: string; now: number }) =>
  db
    .selectFrom("certificates")
    .select(["fingerprint", "subject", "serial", "state", "not_after", "pem"])
    .where("device", "=", v.device)
    .where((eb) => eb.or([eb("state", "=", "live"), eb.and([eb("state", "=", "superseded"), eb("not_after", ">", v.now)])]))
    // Live ones are the newest.
    .orderBy("not_before", "desc")
    .limit(sql.lit(MAX_REVOKED_AT_ONCE)),
);
const setEnd = prepared((db, v: { fingerprint: string; endsAt: number }) =>
  db.updateTable("certificates").set({ ends_at: v.endsAt }).where("fingerprint", "=", v.fingerprint),
);
const setState = prepared((db, v: { fingerprint: string; state: "expired" | "superseded" }) =>
  db.updateTable("certificates").set({ state: v.state }).where("fingerprint", "=", v.fingerprint),
);

/** What ends a certificate at the gates. */
export const removal = (fingerprint: string): Change => ({ kind: "trust.remove", target: "certificate", id: fingerprint });

/**
 * Makes room for a device's next certificate: those it has go on for {@link OVERLAP_MS} at most. They enter no CRL, which would hold
 * one entry for every renewal: the gates' map ends them, and their own end is near.
 */
export function* supersedeCertificates(db: Builder, { device, now }: { readonly device: string; readonly now: number }): Command<Change[]> {
  const live = yield* all(selectLive(db, { device }));
  for (const { fingerprint, ends_at } of live) {
    yield* all(setEnd(db, { fingerprint, endsAt: Math.min(ends_at, now + OVERLAP_MS) }));
  }
  const excess = live.slice(MAX_LIVE_CERTIFICATES - 1);
  for (const { fingerprint } of excess) yield* endCertificate(db, fingerprint, "superseded");
  return excess.map(({ fingerprint }) => removal(fingerprint));
}

/** Ends one whose time has come, or that another took the place of. */
export function* endCertificate(db: Builder, fingerprint: string, state: "expired" | "superseded"): Command<Change> {
  yield* all(setState(db, { fingerprint, state }));
  return removal(fingerprint);
}

/**
 * Revokes all that a device has: no gate takes them from the changes' revision on, and the next CRL names them, those before them too
 * whose own end is not there yet.
 */
export function* revokeCertificates(
  db: Builder,
  { device, reason, now }: { readonly device: string; readonly reason: RevocationReason; readonly now: number },
): Command<Change[]> {
  const good = yield* all(selectGood(db, { device, now }));
  for (const { fingerprint } of good) yield* revokeCertificate(db, fingerprint, now, reason);
  return good.flatMap(({ fingerprint, state }) => (state === "live" ? [removal(fingerprint)] : []));
}

/** Tells the gates a device's pattern anew where it changed. */
export function* repatternCertificates(
  db: Builder,
  { device, pattern }: { readonly device: string; readonly pattern: Pattern },
): Command<Change[]> {
  const changes: Change[] = [];
  for (const { fingerprint: id } of yield* all(selectLive(db, { device }))) {
    const before = yield* trustBody(db, "certificate", id);
    if (before === null) continue;
    const body = JSON.stringify({ ...(JSON.parse(before) as Record<string, unknown>), pattern });
    if (body !== before) changes.push({ kind: "trust.set", target: "certificate", id, body });
  }
  return changes;
}
