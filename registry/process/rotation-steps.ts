import type { Change } from "../../lib/feed/messages.ts";
import { URN } from "../../lib/service.ts";
import type { Authority } from "../ca/authorities.ts";
import { type CaKind, issuedFacts } from "../ca/authority.ts";
import type { Cross } from "../ca/generations.ts";
import { recordCertificate, revokeCertificate } from "../ca/ledger.ts";
import { dropCrl, readCrlState } from "../store/crls.ts";
import { appendAudit, assertLead, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { trustBody } from "../store/trust.ts";
import { CRL_MARGIN_MS } from "./crl-maker.ts";
import { removal } from "./held-certificates.ts";
import { reasonOf } from "./listed-certificates.ts";

export type AuthorityRow = Database["authorities"];

export type Step =
  | { readonly kind: "note"; readonly authority: Authority; readonly state: "next" | "active" }
  | { readonly kind: "tell" | "promote" | "revoke" | "end"; readonly row: AuthorityRow };

export interface StepContext {
  readonly authorities: readonly Authority[];
  readonly crosses: readonly Cross[];
  /** As {@link RotationParts}'. */
  readonly anchored: (ca: string) => boolean;
  readonly now: number;
}

/** Certificates of a CA that was taken out, revoked in one transaction. */
const REVOKE_BATCH = 500;

/** Takes one step, in one transaction. @returns false when it is not open yet @throws Problem not_leading */
export function* perform(db: Builder, lead: Lead, step: Step, context: StepContext): Command<boolean> {
  yield* assertLead(db, lead);
  switch (step.kind) {
    case "note":
      return yield* note(db, step.authority, step.state, context);
    case "tell":
      return yield* tell(db, lead, step.row, context);
    case "promote":
      return yield* promote(db, step.row, context);
    case "revoke":
      return yield* revoke(db, lead, step.row, context.now);
    case "end":
      return yield* end(db, lead, step.row, context);
    default:
      return step satisfies never;
  }
}

/** What roots signed is listed as every certificate is: their lists name of it what was taken back. */
function* note(db: Builder, authority: Authority, state: "next" | "active", { crosses, now }: StepContext): Command<boolean> {
  const { id: ca, kind, name, certificate } = authority;
  yield* all(db.insertInto("authorities").values({ ca, kind, name, state, certificate, told: null, since: now }));
  const signed = kind === "root" ? crosses.map((cross) => cross.certificate) : [certificate];
  for (const issued of signed.map(issuedFacts)) {
    const { fingerprint } = issued;
    const known = yield* first(db.selectFrom("certificates").select("fingerprint").where("fingerprint", "=", fingerprint));
    if (known === undefined) yield* recordCertificate(db, issued);
  }
  yield* appendAudit(db, { at: now, actor: "registry", action: "ca.made", detail: { ca, state } });
  return true;
}

/**
 * Its list stands before the CA itself is told: no gate is without it. Only the very first root may come without, where its key and its
 * list are away. Gates are told of roots, of what ties them together, and of CAs for devices.
 */
function* tell(db: Builder, lead: Lead, { ca, kind, state, certificate }: AuthorityRow, context: StepContext): Command<boolean> {
  const list = yield* readCrlState(db, { ca });
  const isListed = list !== undefined && list.number > 0;
  if (!isListed && !(kind === "root" && state === "active")) return false;
  const told = kind === "infrastructure" ? [] : [{ id: ca, certificate }, ...(kind === "root" ? context.crosses : [])];
  const changes: Change[] = [];
  for (const { id, certificate: body } of told) {
    if ((yield* trustBody(db, "ca", id)) !== body) changes.push({ kind: "trust.set", target: "ca", id, body });
  }
  const { revision } = yield* commitChanges(db, lead, { changes, now: context.now });
  yield* all(db.updateTable("authorities").set({ told: revision }).where("ca", "=", ca));
  return true;
}

/** Signs from now on: whoever has to know it does. Of a root: it is the one to pin, and signs the next CAs. */
function* promote(db: Builder, { ca, kind, told }: AuthorityRow, { anchored, now }: StepContext): Command<boolean> {
  if ((yield* waitingFor(db, kind, told ?? 0)).length > 0) return false;
  if (kind === "infrastructure" && !anchored(ca)) return false;
  const isActive = db.updateTable("authorities").set({ state: "retired", since: now }).where("state", "=", "active");
  const retired = yield* all(isActive.where("kind", "=", kind).returning("ca"));
  yield* all(db.updateTable("authorities").set({ state: "active", since: now }).where("ca", "=", ca));
  const detail = { ca, retired: retired.map((row) => row.ca), revision: told };
  yield* appendAudit(db, { at: now, actor: "registry", action: "ca.rotated", detail });
  return true;
}

/**
 * Live gates that do not have that revision yet, a hundred at most. Agents of the open zone follow no feed, so nobody can wait for them:
 * they go on with the root that they pinned. Control itself shows what an infrastructure CA needs, so nobody is waited for.
 */
export function* waitingFor(db: Builder, kind: CaKind, revision: number): Command<string[]> {
  if (kind === "infrastructure") return [];
  const live = db.selectFrom("agents").select("name").where("revoked_at", "is", null).where("zone", "=", "restricted");
  return (yield* all(live.where("acked_revision", "<", revision).orderBy("name").limit(100))).map(({ name }) => name);
}

/** A batch of what it signed, in the CRL and out of the gates. @returns false when none is left */
function* revoke(db: Builder, lead: Lead, { name, certificate }: AuthorityRow, now: number): Command<boolean> {
  // As the operator said of the CA; of a root nobody lists why.
  const own = db.selectFrom("certificates").select("reason").where("fingerprint", "=", issuedFacts(certificate).fingerprint);
  const reason = reasonOf((yield* first(own))?.reason ?? null) ?? "cessationOfOperation";
  const live = db.selectFrom("certificates").select(["fingerprint", "device", "subject"]).where("issuer", "=", name);
  const batch = yield* all(live.where("state", "=", "live").orderBy("not_after").limit(REVOKE_BATCH));
  const changes: Change[] = [];
  for (const { fingerprint, device, subject } of batch) {
    yield* revokeCertificate(db, fingerprint, now, reason);
    if (device !== null) changes.push(removal(fingerprint));
    if (subject.startsWith(URN.agent))
      yield* all(db.updateTable("agents").set({ revoked_at: now }).where("fingerprint", "=", fingerprint).where("revoked_at", "is", null));
  }
  yield* commitChanges(db, lead, { changes, now });
  return batch.length > 0;
}

/** Leaves once nothing that it signed can be shown any more, and every clock agrees on it; at once where an operator took it out. */
function* end(db: Builder, lead: Lead, row: AuthorityRow, { crosses, now }: StepContext): Command<boolean> {
  const { ca, kind, name, state } = row;
  const isRoot = kind === "root";
  const left = db.selectFrom("certificates").select("fingerprint").where("issuer", "=", name);
  const live = isRoot ? left.where("state", "=", "live") : left;
  const counts = live.where("not_after", ">", now - CRL_MARGIN_MS).limit(1);
  if (state !== "withdrawn" && (yield* first(counts)) !== undefined) return false;
  const own = isRoot ? crosses.filter(({ subject, issuer }) => subject === name || issuer === name) : [];
  const ids = [ca, ...own.map(({ id }) => id)];
  const changes: Change[] = [];
  for (const id of ids) if ((yield* trustBody(db, "ca", id)) !== null) changes.push({ kind: "trust.remove", target: "ca", id });
  if ((yield* trustBody(db, "crl", ca)) !== null) changes.push({ kind: "trust.remove", target: "crl", id: ca });
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  yield* dropCrl(db, { ca });
  yield* all(db.updateTable("authorities").set({ state: "ended", since: now }).where("ca", "=", ca));
  // What a root signed and what ended so is live no more: the root's own end waits for it.
  const ended = [...own.map(({ certificate }) => certificate), ...(isRoot ? [] : [row.certificate])];
  for (const { fingerprint } of ended.map(issuedFacts)) {
    const known = db.updateTable("certificates").set({ state: "superseded" }).where("fingerprint", "=", fingerprint);
    yield* all(known.where("state", "=", "live"));
  }
  yield* appendAudit(db, { at: now, actor: "registry", action: "ca.ended", detail: { ca, revision } });
  return true;
}
