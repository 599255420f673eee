import type { Change } from "../../lib/feed/messages.ts";
import { Problem } from "../../lib/problem.ts";
import { assertDeviceLives } from "../../lib/registration/ended.ts";
import { assertRenewable } from "../rules/lane.ts";
import { newId } from "../store/id.ts";
import { prepared } from "../store/prepared.ts";
import { appendAudit, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { addCertificate, certificateAnswer, type Signed } from "./certificates.ts";
import { addGrants, endGrants, extendGrant, liveGrants, type NewGrant, settleGrants } from "./grants.ts";
import { repatternCertificates, revokeCertificates, supersedeCertificates } from "./held-certificates.ts";
import { type Place, requestedPlaces } from "./places.ts";
import type { Act, Done, Work } from "./work.ts";

const selectDevice = prepared((db, v: { id: string }) =>
  db
    .selectFrom("devices")
    .innerJoin("profiles", "profiles.name", "devices.profile")
    .selectAll("profiles")
    .select(["devices.id", "subject", "ended_at", "end_reason"])
    .where("devices.id", "=", v.id),
);
type DeviceRow = Database["profiles"] & Pick<Database["devices"], "id" | "subject" | "ended_at" | "end_reason">;

/**
 * `renew`, signed by the device's key, or by that of a certificate of it that counts: the addresses sent are the device's whole set afterwards, each for a full life; those that
 * are no longer listed end at once. The profile counts as it is now, its pattern too. The code that enrolled the device does not:
 * spent, expired or withdrawn, it ends no device.
 * A request that comes along is signed; without one the certificates that there are stay as they are.
 * @throws Problem device_revoked | device_left | device_key_kept | certificate_revoked | certificate_ended | certificate_not_offered | certificate_required, and those of the profile's addresses
 */
export function* permitRenew(db: Builder, lead: Lead, work: Work): Command<Act> {
  const { submission } = work;
  const device = yield* first(selectDevice(db, { id: submission.signer.slice("device:".length) }));
  if (device === undefined) throw new Problem(401, "proof_refused", "The proof is not right for this device: sign with the device's key.");
  assertDeviceLives(device.end_reason);
  if (work.shown !== null) yield* assertCounts(db, { fingerprint: work.shown, device: device.id, now: work.now });
  if (submission.deviceKey !== null)
    throw new Problem(422, "device_key_kept", "A renewal does not change the device's key: leave the key out, or register anew.");
  const certified = submission.csrDigest !== null;
  const places = requestedPlaces(work, device);
  assertRenewable(device.pattern, certified);
  return {
    wants: certified ? { device: device.id, lifeMs: device.certificate_lifetime_ms } : null,
    run: (signed) => renew(db, lead, work, { device, places, signed }),
  };
}

const selectShown = prepared((db, v: { fingerprint: string; device: string }) =>
  db.selectFrom("certificates").select(["state", "ends_at"]).where("fingerprint", "=", v.fingerprint).where("device", "=", v.device),
);

/** The certificate whose key signed still counts. @throws Problem certificate_revoked | certificate_ended */
function* assertCounts(
  db: Builder,
  { now, ...shown }: { readonly fingerprint: string; readonly device: string; readonly now: number },
): Command<void> {
  const row = yield* first(selectShown(db, shown));
  if (row?.state === "revoked") throw new Problem(403, "certificate_revoked", "The certificate whose key signed was revoked.");
  if (row === undefined || row.state !== "live" || row.ends_at <= now)
    throw new Problem(403, "certificate_ended", "The certificate whose key signed ran out, or another one took its place.");
}

const setPattern = prepared((db, v: { id: string; pattern: string }) =>
  db.updateTable("devices").set({ pattern: v.pattern }).where("id", "=", v.id),
);

interface Permitted {
  readonly device: DeviceRow;
  readonly places: readonly Place[];
  readonly signed: Signed | null;
}

function* renew(db: Builder, lead: Lead, work: Work, { device, places, signed }: Permitted): Command<Done> {
  const { submission, now } = work;
  const { id, subject, pattern, address_lifetime_ms: lifetimeMs } = device;
  yield* all(setPattern(db, { id, pattern }));
  const expiresAt = now + lifetimeMs;
  const changes = yield* replaceGrants(db, { device: id, places, expiresAt, now });
  changes.push(...(yield* renewCertificates(db, { device: id, subject, pattern, signed, now })));
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  const addresses = places.map(({ lane, prefix }) => ({ prefix: prefix.text, lane, expiresAt }));
  const certificate = signed === null ? {} : { certificate: signed.issued.fingerprint };
  const by = work.shown === null ? {} : { by: work.shown };
  const detail = {
    device: id,
    profile: device.name,
    registration: work.id,
    ...by,
    observed: work.observed,
    addresses,
    ...certificate,
    revision,
  };
  yield* appendAudit(db, { at: now, actor: submission.signer, action: "device.renewed", detail });
  const body = { device: id, pattern, addresses, ...certificateAnswer(signed) };
  return { status: 201, outcome: "renewed", device: id, revision, body };
}

interface Renewing {
  readonly device: string;
  readonly subject: string;
  readonly pattern: DeviceRow["pattern"];
  readonly signed: Signed | null;
  readonly now: number;
}

/** A device whose profile asks for no certificate any more loses those it has. */
function* renewCertificates(db: Builder, { device, subject, pattern, signed, now }: Renewing): Command<Change[]> {
  if (pattern === "ip") return yield* revokeCertificates(db, { device, reason: "privilegeWithdrawn", now });
  const changes = signed === null ? [] : yield* supersedeCertificates(db, { device, now });
  changes.push(...(yield* repatternCertificates(db, { device, pattern })));
  if (signed !== null) changes.push(yield* addCertificate(db, signed, { pattern, subject }));
  return changes;
}

interface Holding {
  readonly device: string;
  readonly places: readonly Place[];
  readonly expiresAt: number;
  readonly now: number;
}

/** Makes the prefixes all that the device holds. A grant that goes on is made longer or shorter, so that renewals add no rows. */
function* replaceGrants(db: Builder, { device, places, expiresAt, now }: Holding): Command<Change[]> {
  const wanted = new Set(places.map(({ lane, prefix }) => `${lane} ${prefix.text}`));
  const live = yield* liveGrants(db, { device, now });
  const dropped = live.filter((grant) => !wanted.has(`${grant.lane} ${grant.prefix}`));
  const changes = yield* endGrants(
    db,
    dropped.map((grant) => ({ ...grant, device, endedAt: now })),
    { reason: "left", now },
  );
  const added: NewGrant[] = [];
  for (const { lane, prefix } of places) {
    const held = live.filter((grant) => grant.lane === lane && grant.prefix === prefix.text);
    for (const { id } of held) yield* extendGrant(db, { id, expiresAt });
    if (held.length === 0) added.push({ id: newId(now), device, lane, prefix, createdAt: now, expiresAt });
  }
  yield* addGrants(db, added);
  const held = places.map(({ lane, prefix }) => ({ device, lane, prefix: prefix.text }));
  return [...changes, ...(yield* settleGrants(db, held, now)).flat()];
}
