import type { Clock } from "../../lib/clock.ts";
import type { Change } from "../../lib/feed/messages.ts";
import type { Log } from "../../lib/log.ts";
import type { Authorities, Authority } from "../ca/authorities.ts";
import { dropCrl, readCrlState } from "../store/crls.ts";
import { appendAudit, assertLead, commitChanges, trustBody } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead, type Store } from "../store/store.ts";
import { CRL_MARGIN_MS } from "./crl-maker.ts";

export interface RotationParts {
  readonly store: Store;
  readonly lead: Lead;
  readonly authorities: Authorities;
  readonly clock: Clock;
  readonly log: Log;
}

type Row = Database["authorities"];

/**
 * Generations of the device CA: next → active → retired → ended. Each turn looks at what is and takes the steps that are open, each in
 * a transaction of its own, so that a kill anywhere costs nothing but time: files without a row were made and not noted, rows that
 * ended with files still there were noted and not removed.
 */
export class Rotation {
  readonly #parts: RotationParts;

  constructor(parts: RotationParts) {
    this.#parts = parts;
  }

  /** @returns `idleMs`, or 0 when a step was taken @throws Problem not_leading */
  async turn(idleMs: number): Promise<number> {
    const { store, lead, authorities, clock, log } = this.#parts;
    const now = clock.now();
    const generations = authorities.all.filter(({ role }) => role === "device CA");
    if (generations.length === 0) return idleMs;
    const rows = await store.read((db) => all(db.selectFrom("authorities").selectAll().orderBy("ca")));
    for (const step of steps(rows, generations)) {
      const taken = await store.write((db) => perform(db, lead, step, now), ["head", "revocation"]);
      if (step.kind === "end" && taken) authorities.remove(step.row.ca);
      if (step.kind === "promote" && taken) authorities.activate(step.row.ca);
      if (taken) log.info({ step: step.kind, ca: step.kind === "note" ? step.authority.id : step.row.ca }, "Device CA");
      if (taken) return 0;
    }
    for (const { ca, state } of rows) {
      if (state === "active") authorities.activate(ca);
      else if (state === "ended") authorities.remove(ca);
    }
    return idleMs;
  }
}

type Step =
  | { readonly kind: "note"; readonly authority: Authority; readonly state: "next" | "active" }
  | { readonly kind: "tell" | "promote" | "end"; readonly row: Row };

/** Steps that may be open, those first that others wait for. */
function steps(rows: readonly Row[], generations: readonly Authority[]): readonly Step[] {
  const known = new Set(rows.map(({ ca }) => ca));
  const isFirst = !rows.some(({ state }) => state === "active");
  const unknown = generations.filter(({ id }) => !known.has(id));
  const present = new Set(generations.map(({ id }) => id));
  const kindOf = (row: Row): Step | null => {
    if (!present.has(row.ca)) return null;
    if (row.told === null && row.state !== "ended") return { kind: "tell", row };
    if (row.state === "next") return { kind: "promote", row };
    return row.state === "retired" ? { kind: "end", row } : null;
  };
  return [
    ...unknown.map((authority, index): Step => ({ kind: "note", authority, state: isFirst && index === 0 ? "active" : "next" })),
    ...rows.map(kindOf).filter((step) => step !== null),
  ];
}

/** @returns false when the step is not open yet */
function* perform(db: Builder, lead: Lead, step: Step, now: number): Command<boolean> {
  yield* assertLead(db, lead);
  switch (step.kind) {
    case "note":
      return yield* note(db, step.authority, step.state, now);
    case "tell":
      return yield* tell(db, lead, step.row, now);
    case "promote":
      return yield* promote(db, step.row, now);
    case "end":
      return yield* end(db, lead, step.row, now);
    default:
      return step satisfies never;
  }
}

function* note(db: Builder, { id: ca, name, certificate }: Authority, state: "next" | "active", now: number): Command<boolean> {
  const row = { ca, name, state, certificate, told: null, since: now };
  yield* all(db.insertInto("authorities").values(row));
  yield* appendAudit(db, { at: now, actor: "registry", action: "ca.made", detail: { ca, state } });
  return true;
}

/** Its list stands before the CA itself is told: no gate is without it. */
function* tell(db: Builder, lead: Lead, { ca, certificate }: Row, now: number): Command<boolean> {
  const list = yield* readCrlState(db, { ca });
  if (list === undefined || list.number === 0) return false;
  const known = (yield* trustBody(db, "ca", ca)) === certificate;
  const changes: Change[] = known ? [] : [{ kind: "trust.set", target: "ca", id: ca, body: certificate }];
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  yield* all(db.updateTable("authorities").set({ told: revision }).where("ca", "=", ca));
  return true;
}

/** Signs from now on: every live gate has it. */
function* promote(db: Builder, { ca, told }: Row, now: number): Command<boolean> {
  if ((yield* waitingFor(db, told ?? 0)).length > 0) return false;
  const retired = yield* all(
    db.updateTable("authorities").set({ state: "retired", since: now }).where("state", "=", "active").returning("ca"),
  );
  yield* all(db.updateTable("authorities").set({ state: "active", since: now }).where("ca", "=", ca));
  const detail = { ca, retired: retired.map((row) => row.ca), revision: told };
  yield* appendAudit(db, { at: now, actor: "registry", action: "ca.rotated", detail });
  return true;
}

/** Live gates that do not have that revision yet, a hundred at most. */
export function* waitingFor(db: Builder, revision: number): Command<string[]> {
  const behind = db.selectFrom("agents").select("name").where("zone", "=", "restricted").where("revoked_at", "is", null);
  return (yield* all(behind.where("acked_revision", "<", revision).orderBy("name").limit(100))).map(({ name }) => name);
}

/** Leaves once nothing that it signed can be shown any more, and every clock agrees on it. */
function* end(db: Builder, lead: Lead, { ca, name }: Row, now: number): Command<boolean> {
  const left = db.selectFrom("certificates").select("fingerprint").where("issuer", "=", name);
  if ((yield* first(left.where("not_after", ">", now - CRL_MARGIN_MS).limit(1))) !== undefined) return false;
  const changes: Change[] = [
    { kind: "trust.remove", target: "ca", id: ca },
    { kind: "trust.remove", target: "crl", id: ca },
  ];
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  yield* dropCrl(db, { ca });
  yield* all(db.updateTable("authorities").set({ state: "ended", since: now }).where("ca", "=", ca));
  yield* appendAudit(db, { at: now, actor: "registry", action: "ca.ended", detail: { ca, revision } });
  return true;
}
