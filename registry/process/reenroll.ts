import { clientCertificateRefused, reenrollRefused } from "../../lib/registration/reenroll.ts";
import { assertCertificate } from "../rules/lane.ts";
import { prepared } from "../store/prepared.ts";
import { appendAudit, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { addCertificate, certificateAnswer, type Signed } from "./certificates.ts";
import { supersedeCertificates } from "./held-certificates.ts";
import type { Act, Done, Work } from "./work.ts";

const selectShown = prepared((db, v: { fingerprint: string; device: string; now: number }) =>
  db
    .selectFrom("certificates")
    .innerJoin("devices", "devices.id", "certificates.device")
    .innerJoin("profiles", "profiles.name", "devices.profile")
    .select(["devices.id", "devices.subject", "devices.pattern", "profiles.name as profile", "profiles.pattern as profile_pattern"])
    .select(["profiles.certificate_lifetime_ms", "profiles.reenroll"])
    .where("certificates.fingerprint", "=", v.fingerprint)
    .where("certificates.device", "=", v.device)
    .where("certificates.state", "=", "live")
    .where("certificates.ends_at", ">", v.now)
    .where("devices.ended_at", "is", null),
);
type Shown = Pick<Database["devices"], "id" | "subject" | "pattern" | "profile">;

const selectPlaces = prepared((db, v: { device: string }) =>
  db
    .selectFrom("grants")
    .select(["prefix", "lane", "expires_at as expiresAt"])
    .where("device", "=", v.device)
    .where("ended_at", "is", null)
    .orderBy("id"),
);

/**
 * `reenroll`, by a client certificate that register says it saw: the device's next certificate, and nothing else of what it holds.
 * Register is believed that the certificate was shown, where the profile says so; that it is live and the device's own is looked up.
 * @throws Problem client_certificate | reenroll_refused | certificate_not_offered
 */
export function* permitReenroll(db: Builder, lead: Lead, work: Work): Command<Act> {
  const { submission, shown, now } = work;
  const device = submission.signer.slice("device:".length);
  const row = shown === null ? undefined : yield* first(selectShown(db, { fingerprint: shown, device, now }));
  if (row === undefined) throw clientCertificateRefused();
  if (row.reenroll !== 1) throw reenrollRefused();
  assertCertificate(row.profile_pattern, true);
  return {
    wants: { device: row.id, lifeMs: row.certificate_lifetime_ms },
    run: (signed) => reenroll(db, lead, work, { row, signed }),
  };
}

function* reenroll(db: Builder, lead: Lead, work: Work, { row, signed }: { row: Shown; signed: Signed | null }): Command<Done> {
  if (signed === null) throw new Error("a re-enrolment without its certificate");
  const { submission, shown, now } = work;
  const { id, subject, profile } = row;
  const pattern = row.pattern as Database["profiles"]["pattern"];
  const changes = yield* supersedeCertificates(db, { device: id, now });
  changes.push(yield* addCertificate(db, signed, { pattern, subject }));
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  const { fingerprint } = signed.issued;
  // Whoever may have been let in by a burnt open zone's word is named.
  const detail = { device: id, profile, registration: work.id, observed: work.observed, certificate: fingerprint, shown, revision };
  yield* appendAudit(db, { at: now, actor: submission.signer, action: "device.reenrolled", detail });
  const addresses = yield* all(selectPlaces(db, { device: id }));
  return { status: 201, outcome: "renewed", device: id, revision, body: { device: id, pattern, addresses, ...certificateAnswer(signed) } };
}
