import type { Change } from "../../lib/feed/messages.ts";
import type { Prefix } from "../../lib/ip.ts";
import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import type { RuleLane } from "../../lib/service.ts";
import { laneOf } from "../rules/lane.ts";
import { requestedPrefixes } from "../rules/policy.ts";
import { newId } from "../store/id.ts";
import { prepared } from "../store/prepared.ts";
import { appendAudit, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { addGrant, settleRule } from "./grants.ts";
import { addressPolicy } from "./profiles.ts";
import type { Act, Done, Work } from "./work.ts";

const selectCode = prepared((db, v: { selector: string }) =>
  db
    .selectFrom("codes")
    .innerJoin("profiles", "profiles.name", "codes.profile")
    .selectAll("profiles")
    .select(["selector", "subject", "uses", "used", "expires_at", "withdrawn_at"])
    .where("selector", "=", v.selector),
);
type CodeRow = Database["profiles"] & {
  readonly selector: string;
  readonly subject: string;
  readonly uses: number;
  readonly used: number;
  readonly expires_at: number;
  readonly withdrawn_at: number | null;
};

interface Permitted {
  readonly code: CodeRow;
  readonly lane: RuleLane;
  readonly prefixes: readonly Prefix[];
}

/**
 * `register`, signed by a code's key: makes a device.
 * @throws Problem code_withdrawn | code_expired | code_spent | certificate_not_offered | device_key, and those of the profile's addresses
 */
export function* permitRegister(db: Builder, lead: Lead, work: Work): Command<Act> {
  const { submission, observed, allowed, now } = work;
  const code = yield* first(selectCode(db, { selector: submission.signer.slice("code:".length) }));
  if (code === undefined) throw new Problem(401, "proof_refused", "The proof is not right for this selector: check the security code.");
  if (code.withdrawn_at !== null)
    throw new Problem(403, "code_withdrawn", "This security code was withdrawn: ask the operator for a new one.");
  if (code.expires_at <= now) throw new Problem(403, "code_expired", "This security code has expired: ask the operator for a new one.");
  if (code.used >= code.uses) throw new Problem(403, "code_spent", "This security code was used up: ask the operator for a new one.");
  if (submission.csrDigest !== null) throw new Problem(422, "certificate_not_offered", "This registry does not sign certificates yet.");
  if (submission.deviceKey !== null) publicKeyFromRaw(submission.deviceKey);
  const lane = laneOf(code.pattern);
  const prefixes = requestedPrefixes(submission.addresses, observed, addressPolicy(code), allowed);
  return () => enrol(db, lead, work, { code, lane, prefixes });
}

const useCode = prepared((db, v: { selector: string }) =>
  db
    .updateTable("codes")
    .set((eb) => ({ used: eb("used", "+", 1) }))
    .where("selector", "=", v.selector),
);
const insertDevice = prepared(
  (
    db,
    v: { id: string; subject: string; profile: string; pattern: string; selector: string; publicKey: string | null; enrolledAt: number },
  ) =>
    db.insertInto("devices").values({
      id: v.id,
      subject: v.subject,
      profile: v.profile,
      pattern: v.pattern,
      selector: v.selector,
      public_key: v.publicKey,
      enrolled_at: v.enrolledAt,
      ended_at: null,
      end_reason: null,
    }),
);

function* enrol(db: Builder, lead: Lead, work: Work, { code, lane, prefixes }: Permitted): Command<Done> {
  const { submission, now } = work;
  const { selector, subject, name: profile, pattern } = code;
  const device = newId(now);
  yield* all(useCode(db, { selector }));
  yield* all(insertDevice(db, { id: device, subject, profile, pattern, selector, publicKey: submission.deviceKey, enrolledAt: now }));
  const expiresAt = now + code.address_lifetime_ms;
  const changes: Change[] = [];
  for (const prefix of prefixes) {
    yield* addGrant(db, { id: newId(now), device, lane, prefix, createdAt: now, expiresAt });
    const change = yield* settleRule(db, lane, prefix.text, now);
    if (change !== null) changes.push(change);
  }
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  const addresses = prefixes.map((prefix) => ({ prefix: prefix.text, lane, expiresAt }));
  const detail = { device, subject, profile, registration: work.id, observed: work.observed, addresses, revision };
  yield* appendAudit(db, { at: now, actor: submission.signer, action: "device.enrolled", detail });
  return { status: 201, outcome: "registered", device, revision, body: { device, pattern, addresses } };
}
