import type { Code, NewCode, Page } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import { selectorSchema } from "../../lib/registration/fields.ts";
import { appendAudit, assertLead } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { assertLimit, type PageRequest, pageOf } from "./paging.ts";

const MAX_USES = 1_000_000;
/** Printable, no control characters: it is shown on terminals and pages. */
const SUBJECT = /^[^\p{C}\p{Zl}\p{Zp}]{1,256}$/u;

/**
 * Stores a security code's public half.
 * @throws Problem code_invalid | code_expiry | device_key | profile_unknown | code_exists | not_leading
 */
export function* createCode(db: Builder, lead: Lead, input: NewCode & { readonly now: number; readonly actor: string }): Command<Code> {
  yield* assertLead(db, lead);
  assertCode(input);
  const { selector, subject, profile, publicKey, uses, expiresAt, now, actor } = input;
  const known = yield* first(db.selectFrom("profiles").select("name").where("name", "=", profile));
  if (known === undefined) throw new Problem(404, "profile_unknown", `There is no profile '${profile}'.`);
  const row = {
    selector,
    subject,
    profile,
    public_key: publicKey,
    uses,
    used: 0,
    created_at: now,
    expires_at: expiresAt,
    withdrawn_at: null,
  };
  const made = yield* first(
    db
      .insertInto("codes")
      .values(row)
      .onConflict((conflict) => conflict.column("selector").doNothing())
      .returning("selector"),
  );
  if (made === undefined) throw new Problem(409, "code_exists", `There is already a code ${selector}.`);
  yield* appendAudit(db, { at: now, actor, action: "code.created", detail: { selector, subject, profile, uses, expiresAt } });
  return fromRow(row);
}

/** In the order of their selectors. */
export function* listCodes(db: Builder, { after, limit }: PageRequest): Command<Page<Code>> {
  assertLimit(limit);
  const query = db.selectFrom("codes").selectAll().orderBy("selector").limit(limit);
  const rows = yield* all(after === null ? query : query.where("selector", ">", after));
  return pageOf(rows.map(fromRow), limit, (code) => code.selector);
}

/**
 * Ends a code: it enrols nobody from now on; what it enrolled stays. A second time changes nothing.
 * @throws Problem code_unknown | not_leading
 */
export function* withdrawCode(
  db: Builder,
  lead: Lead,
  { selector, now, actor }: { readonly selector: string; readonly now: number; readonly actor: string },
): Command<Code> {
  yield* assertLead(db, lead);
  const row = yield* first(db.selectFrom("codes").selectAll().where("selector", "=", selector));
  if (row === undefined) throw new Problem(404, "code_unknown", `There is no code ${selector}.`);
  if (row.withdrawn_at !== null) return fromRow(row);
  yield* all(db.updateTable("codes").set({ withdrawn_at: now }).where("selector", "=", selector));
  yield* appendAudit(db, { at: now, actor, action: "code.withdrawn", detail: { selector } });
  return fromRow({ ...row, withdrawn_at: now });
}

function assertCode({ selector, subject, publicKey, uses, expiresAt, now }: NewCode & { readonly now: number }): void {
  const refuse = (sentence: string) => new Problem(422, "code_invalid", sentence);
  if (!selectorSchema.safeParse(selector).success) throw refuse("A selector is the first 8 letters and digits of a code.");
  if (!SUBJECT.test(subject)) throw refuse("A subject is 1 to 256 printable characters.");
  if (!Number.isInteger(uses) || uses < 1 || uses > MAX_USES) throw refuse(`A code has 1 to ${MAX_USES} uses.`);
  if (!Number.isSafeInteger(expiresAt) || expiresAt <= now)
    throw new Problem(422, "code_expiry", "A code expires in the future, in integer milliseconds.");
  publicKeyFromRaw(publicKey);
}

const fromRow = (row: Database["codes"]): Code => ({
  selector: row.selector,
  subject: row.subject,
  profile: row.profile,
  uses: row.uses,
  used: row.used,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  withdrawnAt: row.withdrawn_at,
});
