import type { Change } from "../../lib/feed/messages.ts";
import { Problem } from "../../lib/problem.ts";
import { plainCodeRefused, publicKeyFromRaw } from "../../lib/registration/code.ts";
import { assertCertificate } from "../rules/lane.ts";
import { newId } from "../store/id.ts";
import { prepared } from "../store/prepared.ts";
import { appendAudit, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { addCertificate, certificateAnswer, type Signed } from "./certificates.ts";
import { addGrant, settleGrant } from "./grants.ts";
import { type Place, requestedPlaces } from "./places.ts";
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

/**
 * `register`, signed by a code's key: makes a device.
 * @throws Problem plain_code_refused | code_withdrawn | code_expired | code_spent | device_key | certificate_not_offered |
 *   certificate_required, and those of the profile's addresses
 */
export function* permitRegister(db: Builder, lead: Lead, work: Work): Command<Act> {
  const { submission, now } = work;
  const code = yield* first(selectCode(db, { selector: submission.signer.slice("code:".length) }));
  if (code === undefined) throw new Problem(401, "proof_refused", "The proof is not right for this selector: check the security code.");
  if (work.plain && code.plain_code !== 1) throw plainCodeRefused();
  if (code.withdrawn_at !== null)
    throw new Problem(403, "code_withdrawn", "This security code was withdrawn: ask the operator for a new one.");
  if (code.expires_at <= now) throw new Problem(403, "code_expired", "This security code has expired: ask the operator for a new one.");
  if (code.used >= code.uses) throw new Problem(403, "code_spent", "This security code was used up: ask the operator for a new one.");
  if (submission.deviceKey !== null) publicKeyFromRaw(submission.deviceKey);
  const certified = submission.csrDigest !== null;
  const places = requestedPlaces(work, code);
  assertCertificate(code.pattern, certified);
  return {
    wants: certified ? { device: null, lifeMs: code.certificate_lifetime_ms } : null,
    run: (signed) => enrol(db, lead, work, { code, places, signed }),
  };
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

interface Permitted {
  readonly code: CodeRow;
  readonly places: readonly Place[];
  readonly signed: Signed | null;
}

function* enrol(db: Builder, lead: Lead, work: Work, { code, places, signed }: Permitted): Command<Done> {
  const { submission, now } = work;
  const { selector, subject, name: profile, pattern } = code;
  const device = signed?.device ?? newId(now);
  yield* all(useCode(db, { selector }));
  yield* all(insertDevice(db, { id: device, subject, profile, pattern, selector, publicKey: submission.deviceKey, enrolledAt: now }));
  const expiresAt = now + code.address_lifetime_ms;
  const changes: Change[] = signed === null ? [] : [yield* addCertificate(db, signed, { pattern, subject })];
  for (const { lane, prefix } of places) {
    yield* addGrant(db, { id: newId(now), device, lane, prefix, createdAt: now, expiresAt });
    changes.push(...(yield* settleGrant(db, { device, lane, prefix: prefix.text, now })));
  }
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  const addresses = places.map(({ lane, prefix }) => ({ prefix: prefix.text, lane, expiresAt }));
  const certificate = signed === null ? {} : { certificate: signed.issued.fingerprint };
  // Whose code passed register in the plain is named: those are what a burnt open zone may have learned.
  const how = work.plain ? { plainCode: true } : {};
  const detail = { device, subject, profile, registration: work.id, observed: work.observed, addresses, ...certificate, ...how, revision };
  yield* appendAudit(db, { at: now, actor: submission.signer, action: "device.enrolled", detail });
  return { status: 201, outcome: "registered", device, revision, body: { device, pattern, addresses, ...certificateAnswer(signed) } };
}
