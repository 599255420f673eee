import type { Change } from "../../lib/feed/messages.ts";
import type { Prefix } from "../../lib/ip.ts";
import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import type { Submission } from "../../lib/registration/submission.ts";
import type { RuleLane } from "../../lib/service.ts";
import { laneOf } from "../rules/lane.ts";
import { requestedPrefixes } from "../rules/policy.ts";
import { newId } from "../store/id.ts";
import { recordOutcome, takeFromInbox } from "../store/intake.ts";
import { prepared } from "../store/prepared.ts";
import { appendAudit, assertLead, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { addGrant, settleRule } from "./grants.ts";
import { addressPolicy } from "./profiles.ts";

/** A submission whose proof is right, with what Process adds to it. */
export interface Work {
  readonly id: string;
  readonly submission: Submission;
  readonly observed: string;
  readonly allowed: readonly Prefix[];
  readonly now: number;
}

/** What became of a submission; null when somebody else concluded it. */
export type Conclusion = {
  readonly status: number;
  readonly outcome: string;
  readonly device: string | null;
  readonly revision: number;
} | null;

/**
 * Concludes a submission in one transaction: device, grants, rules, revisions, audit entry and outcome, or a refusal that spends nothing.
 * Its nonce is used up either way.
 * @throws Problem not_leading
 */
export function* concludeRegistration(db: Builder, lead: Lead, work: Work): Command<Conclusion> {
  yield* assertLead(db, lead);
  if (!(yield* takeFromInbox(db, work.id))) return null;
  let permitted: Permitted;
  try {
    yield* useNonce(db, work.submission);
    permitted = yield* permit(db, work);
  } catch (error) {
    if (error instanceof Problem && error.status < 500) return yield* refuse(db, work, error);
    throw error;
  }
  return yield* enrol(db, lead, work, permitted);
}

/** Concludes a submission with a problem, in one transaction. Its nonce stays unused: its proof was not right. @throws Problem not_leading */
export function* concludeRefused(
  db: Builder,
  lead: Lead,
  { id, now, problem }: { readonly id: string; readonly now: number; readonly problem: Problem },
): Command<Conclusion> {
  yield* assertLead(db, lead);
  return (yield* takeFromInbox(db, id)) ? yield* refuse(db, { id, now }, problem) : null;
}

function* refuse(db: Builder, { id, now }: Pick<Work, "id" | "now">, problem: Problem): Command<Conclusion> {
  const { status, code } = problem;
  yield* recordOutcome(db, { submission: id, at: now, status, body: JSON.stringify(problem), device: null, revision: 0 });
  return { status, outcome: code, device: null, revision: 0 };
}

const insertNonce = prepared((db, v: { signer: string; nonce: string; time: number }) =>
  db
    .insertInto("nonces")
    .values({ signer: v.signer, nonce: v.nonce, time: v.time })
    .onConflict((conflict) => conflict.columns(["signer", "nonce"]).doNothing())
    .returning("time"),
);

function* useNonce(db: Builder, { signer, nonce, time }: Submission): Command<void> {
  if ((yield* first(insertNonce(db, { signer, nonce, time }))) !== undefined) return;
  throw new Problem(409, "proof_replayed", "This proof came before: sign again with a new nonce, or repeat with the same Idempotency-Key.");
}

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

/** Everything that can refuse a right proof, before anything is spent. @throws Problem */
function* permit(db: Builder, { submission, observed, allowed, now }: Work): Command<Permitted> {
  const code = yield* first(selectCode(db, { selector: submission.signer.slice("code:".length) }));
  if (code === undefined) throw new Problem(401, "proof_refused", "The proof is not right for this selector: check the security code.");
  if (code.withdrawn_at !== null)
    throw new Problem(403, "code_withdrawn", "This security code was withdrawn: ask the operator for a new one.");
  if (code.expires_at <= now) throw new Problem(403, "code_expired", "This security code has expired: ask the operator for a new one.");
  if (code.used >= code.uses) throw new Problem(403, "code_spent", "This security code was used up: ask the operator for a new one.");
  if (submission.action !== "register")
    throw new Problem(422, "action_not_offered", "A security code registers devices and does nothing else.");
  if (submission.csrDigest !== null) throw new Problem(422, "certificate_not_offered", "This registry does not sign certificates yet.");
  if (submission.deviceKey !== null) publicKeyFromRaw(submission.deviceKey);
  const lane = laneOf(code.pattern);
  return { code, lane, prefixes: requestedPrefixes(submission.addresses, observed, addressPolicy(code), allowed) };
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
      revoked_at: null,
    }),
);

function* enrol(db: Builder, lead: Lead, work: Work, { code, lane, prefixes }: Permitted): Command<Conclusion> {
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
  const body = JSON.stringify({ id: work.id, device, pattern, addresses });
  yield* recordOutcome(db, { submission: work.id, at: now, status: 201, body, device, revision });
  return { status: 201, outcome: "registered", device, revision };
}
