import { asError } from "../../lib/as-error.ts";
import type { Change } from "../../lib/feed/messages.ts";
import { Problem } from "../../lib/problem.ts";
import { plainCodeRefused, publicKeyFromRaw } from "../../lib/registration/code.ts";
import { assertCertificate } from "../rules/lane.ts";
import type { AuditEntry } from "../store/audit.ts";
import { newId } from "../store/id.ts";
import { prepared, preparedRows } from "../store/prepared.ts";
import { appendAudit, commitEach } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { addCertificates, certificateAnswer, type Prepared, type Signed, signedNow, standingOf, type Wanted } from "./certificates.ts";
import { addGrants, type NewGrant, settleGrants } from "./grants.ts";
import { type Place, requestedPlaces } from "./places.ts";
import type { Done, Work } from "./work.ts";

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

/** A registration with what was signed for it before its transaction. */
export interface Registering {
  readonly work: Work;
  readonly certificate: Prepared;
}

/**
 * What certificates registrations would be signed for, before the transaction that decides. Reads only.
 * @returns for each null when none goes with it, or why the transaction would refuse it as things stand
 */
export function* previewRegistrations(db: Builder, works: readonly Work[]): Command<readonly (Wanted | null | Error)[]> {
  const codes = yield* codesOf(db, works);
  return works.map((work) => attempted(() => wantedBy(permit(work, codes.get(selectorOf(work)), 0))));
}

/**
 * `register`, signed by a code's key: makes a device. Of many in one transaction, each as if those before it were concluded already.
 * @param assertFresh throws a Problem for a work that comes too late, whatever its code says
 * @returns for each what it came to, or why it is refused: plain_code_refused | code_withdrawn | code_expired | code_spent | device_key |
 *   certificate_not_offered | certificate_required | key_compromised, those of the profile's addresses, and those of the request
 * @throws Problem certificate_stale, when any of them has to be signed anew
 */
export function* registerAll(
  db: Builder,
  lead: Lead,
  registrations: readonly Registering[],
  assertFresh: (work: Work) => void,
): Command<readonly (Done | Problem)[]> {
  const codes = yield* codesOf(
    db,
    registrations.map(({ work }) => work),
  );
  const standing = yield* standingOf(
    db,
    registrations.map(({ certificate }) => certificate),
  );
  const uses = new Map<string, number>();
  const results = registrations.map(({ work, certificate }) => {
    const selector = selectorOf(work);
    const usesHere = uses.get(selector) ?? 0;
    const result = attempted(() => {
      assertFresh(work);
      const permitted = permit(work, codes.get(selector), usesHere);
      return { ...permitted, signed: signedNow(certificate, wantedBy(permitted), standing) };
    });
    if (result instanceof Error) return refusing(result);
    uses.set(selector, usesHere + 1);
    return result;
  });
  const permitted = results.filter((result): result is Enrolment => !(result instanceof Problem));
  const done = (yield* enrol(db, lead, permitted)).values();
  return results.map((result) => (result instanceof Problem ? result : (done.next().value as Done)));
}

function* codesOf(db: Builder, works: readonly Work[]): Command<ReadonlyMap<string, CodeRow | undefined>> {
  const codes = new Map<string, CodeRow | undefined>();
  for (const selector of new Set(works.map(selectorOf))) codes.set(selector, yield* first(selectCode(db, { selector })));
  return codes;
}

/** What it throws is a result like any other. */
function attempted<T>(attempt: () => T): T | Error {
  try {
    return attempt();
  } catch (error) {
    return asError(error);
  }
}

/** Why a registration is refused. @throws Error when that is no reason of its own */
function refusing(error: Error): Problem {
  if (error instanceof Problem && error.status < 500) return error;
  throw error;
}

const wantedBy = ({ work, code }: Permitted): Wanted | null =>
  work.submission.csrDigest === null ? null : { device: null, lifeMs: code.certificate_lifetime_ms };

const selectorOf = ({ submission }: Work): string => submission.signer.slice("code:".length);

interface Permitted {
  readonly work: Work;
  readonly code: CodeRow;
  readonly places: readonly Place[];
}

/** @param usesHere how often others use the code in this transaction, before it @throws Problem as {@link registerAll} */
function permit(work: Work, code: CodeRow | undefined, usesHere: number): Permitted {
  const { submission, now } = work;
  if (code === undefined) throw new Problem(401, "proof_refused", "The proof is not right for this selector: check the security code.");
  if (work.plain && code.plain_code !== 1) throw plainCodeRefused();
  if (code.withdrawn_at !== null)
    throw new Problem(403, "code_withdrawn", "This security code was withdrawn: ask the operator for a new one.");
  if (code.expires_at <= now) throw new Problem(403, "code_expired", "This security code has expired: ask the operator for a new one.");
  if (code.used + usesHere >= code.uses)
    throw new Problem(403, "code_spent", "This security code was used up: ask the operator for a new one.");
  if (submission.deviceKey !== null) publicKeyFromRaw(submission.deviceKey);
  const places = requestedPlaces(work, code);
  assertCertificate(code.pattern, submission.csrDigest !== null);
  return { work, code, places };
}

const useCode = prepared((db, v: { selector: string; uses: number }) =>
  db
    .updateTable("codes")
    .set((eb) => ({ used: eb("used", "+", v.uses) }))
    .where("selector", "=", v.selector),
);
const insertDevices = preparedRows((db, rows: readonly Omit<Database["devices"], "ended_at" | "end_reason">[]) =>
  db.insertInto("devices").values(
    rows.map((v) => ({
      id: v.id,
      subject: v.subject,
      profile: v.profile,
      pattern: v.pattern,
      selector: v.selector,
      public_key: v.public_key,
      enrolled_at: v.enrolled_at,
      ended_at: null,
      end_reason: null,
    })),
  ),
);

interface Enrolment extends Permitted {
  readonly signed: Signed | null;
}

/** An enrolment with what it makes. */
interface Made extends Enrolment {
  readonly device: string;
  readonly expiresAt: number;
  readonly grants: readonly NewGrant[];
}

/** Makes the devices, one revision after the other: what Storage has one of for all of them is read and written once. */
function* enrol(db: Builder, lead: Lead, enrolments: readonly Enrolment[]): Command<readonly Done[]> {
  const [one] = enrolments;
  if (one === undefined) return [];
  const { now } = one.work;
  const made = enrolments.map((enrolment) => makeOne(enrolment));
  yield* useCodes(db, made);
  yield* insertDevices(db, made.map(deviceRow));
  const changes = yield* changesOf(db, made, now);
  const revisions = yield* commitEach(db, lead, { parts: changes, now });
  const told = made.map((each, index) => tellOne(each, revisions[index] as number));
  yield* appendAudit(db, ...told.map(({ entry }) => entry));
  return told.map(({ done }) => done);
}

function makeOne(enrolment: Enrolment): Made {
  const { work, code, places, signed } = enrolment;
  const { now } = work;
  const device = signed?.device ?? newId(now);
  const expiresAt = now + code.address_lifetime_ms;
  const grants = places.map(({ lane, prefix }) => ({ id: newId(now), device, lane, prefix, createdAt: now, expiresAt }));
  return { ...enrolment, device, expiresAt, grants };
}

function* useCodes(db: Builder, made: readonly Made[]): Command<void> {
  const uses = new Map<string, number>();
  for (const { code } of made) uses.set(code.selector, (uses.get(code.selector) ?? 0) + 1);
  for (const [selector, times] of uses) yield* all(useCode(db, { selector, uses: times }));
}

const deviceRow = ({ work, code, device }: Made) => ({
  id: device,
  subject: code.subject,
  profile: code.name,
  pattern: code.pattern,
  selector: code.selector,
  public_key: work.submission.deviceKey,
  enrolled_at: work.now,
});

/** What the enrolments change for the agents, one by one; their certificates and grants are stored. */
function* changesOf(db: Builder, made: readonly Made[], now: number): Command<readonly Change[][]> {
  const certified = made.flatMap(({ signed, code: holder }) => (signed === null ? [] : [{ signed, holder }]));
  const added = (yield* addCertificates(db, certified)).values();
  const changes = made.map(({ signed }) => (signed === null ? [] : [added.next().value as Change]));
  const grants = made.flatMap((each) => each.grants);
  yield* addGrants(db, grants);
  const settled = (yield* settleGrants(
    db,
    grants.map(({ device, lane, prefix }) => ({ device, lane, prefix: prefix.text })),
    now,
  )).values();
  for (const [index, each] of made.entries()) for (const _ of each.grants) changes[index]?.push(...(settled.next().value ?? []));
  return changes;
}

/** What the audit log and the device are told. */
function tellOne(
  { work, code, places, signed, device, expiresAt }: Made,
  revision: number,
): { readonly entry: AuditEntry; readonly done: Done } {
  const { subject, name: profile, pattern } = code;
  const addresses = places.map(({ lane, prefix }) => ({ prefix: prefix.text, lane, expiresAt }));
  const certificate = signed === null ? {} : { certificate: signed.issued.fingerprint };
  // Whose code passed register in the plain is named: those are what a burnt open zone may have learned.
  const how = work.plain ? { plainCode: true } : {};
  const detail = { device, subject, profile, registration: work.id, observed: work.observed, addresses, ...certificate, ...how, revision };
  return {
    entry: { at: work.now, actor: work.submission.signer, action: "device.enrolled", detail },
    done: { status: 201, outcome: "registered", device, revision, body: { device, pattern, addresses, ...certificateAnswer(signed) } },
  };
}
