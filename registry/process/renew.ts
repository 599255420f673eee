import type { Change } from "../../lib/feed/messages.ts";
import type { Prefix } from "../../lib/ip.ts";
import { Problem } from "../../lib/problem.ts";
import type { RuleLane } from "../../lib/service.ts";
import { laneOf } from "../rules/lane.ts";
import { requestedPrefixes } from "../rules/policy.ts";
import { newId } from "../store/id.ts";
import { prepared } from "../store/prepared.ts";
import { appendAudit, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { assertDeviceLives } from "./devices.ts";
import { addGrant, endGrants, extendGrant, liveGrants, settleRule } from "./grants.ts";
import { addressPolicy } from "./profiles.ts";
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

interface Permitted {
  readonly device: DeviceRow;
  readonly lane: RuleLane;
  readonly prefixes: readonly Prefix[];
}

/**
 * `renew`, signed by the device's key: the addresses sent are the device's whole set afterwards, each for a full life; those that
 * are no longer listed end at once. The profile counts as it is now, its pattern too. The code that enrolled the device does not:
 * spent, expired or withdrawn, it ends no device.
 * @throws Problem device_revoked | device_left | certificate_not_offered, and those of the profile's addresses
 */
export function* permitRenew(db: Builder, lead: Lead, work: Work): Command<Act> {
  const { submission, observed, allowed } = work;
  const device = yield* first(selectDevice(db, { id: submission.signer.slice("device:".length) }));
  if (device === undefined) throw new Problem(401, "proof_refused", "The proof is not right for this device: sign with the device's key.");
  assertDeviceLives(device);
  if (submission.csrDigest !== null) throw new Problem(422, "certificate_not_offered", "This registry does not sign certificates yet.");
  if (submission.deviceKey !== null)
    throw new Problem(422, "device_key_kept", "A renewal does not change the device's key: leave the key out, or register anew.");
  const lane = laneOf(device.pattern);
  const prefixes = requestedPrefixes(submission.addresses, observed, addressPolicy(device), allowed);
  return () => renew(db, lead, work, { device, lane, prefixes });
}

const setPattern = prepared((db, v: { id: string; pattern: string }) =>
  db.updateTable("devices").set({ pattern: v.pattern }).where("id", "=", v.id),
);

function* renew(db: Builder, lead: Lead, work: Work, { device, lane, prefixes }: Permitted): Command<Done> {
  const { submission, now } = work;
  const { id, pattern, address_lifetime_ms: lifetimeMs } = device;
  yield* all(setPattern(db, { id, pattern }));
  const expiresAt = now + lifetimeMs;
  const changes = yield* replaceGrants(db, { device: id, lane, prefixes, expiresAt, now });
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  const addresses = prefixes.map((prefix) => ({ prefix: prefix.text, lane, expiresAt }));
  const detail = { device: id, profile: device.name, registration: work.id, observed: work.observed, addresses, revision };
  yield* appendAudit(db, { at: now, actor: submission.signer, action: "device.renewed", detail });
  return { status: 201, outcome: "renewed", device: id, revision, body: { device: id, pattern, addresses } };
}

interface Wanted {
  readonly device: string;
  readonly lane: RuleLane;
  readonly prefixes: readonly Prefix[];
  readonly expiresAt: number;
  readonly now: number;
}

/** Makes the prefixes all that the device holds. A grant that goes on is made longer or shorter, so that renewals add no rows. */
function* replaceGrants(db: Builder, { device, lane, prefixes, expiresAt, now }: Wanted): Command<Change[]> {
  const wanted = new Set(prefixes.map((prefix) => prefix.text));
  const live = yield* liveGrants(db, { device, now });
  const dropped = live.filter((grant) => grant.lane !== lane || !wanted.has(grant.prefix));
  const changes = yield* endGrants(
    db,
    dropped.map((grant) => ({ ...grant, endedAt: now })),
    { reason: "left", now },
  );
  for (const prefix of prefixes) {
    const held = live.filter((grant) => grant.lane === lane && grant.prefix === prefix.text);
    for (const { id } of held) yield* extendGrant(db, { id, expiresAt });
    if (held.length === 0) yield* addGrant(db, { id: newId(now), device, lane, prefix, createdAt: now, expiresAt });
    const change = yield* settleRule(db, lane, prefix.text, now);
    if (change !== null) changes.push(change);
  }
  return changes;
}
