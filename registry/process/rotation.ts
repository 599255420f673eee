import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import type { Authorities, Authority } from "../ca/authorities.ts";
import { all, type Lead, type Store } from "../store/store.ts";
import { type AuthorityRow, perform, type Step } from "./rotation-steps.ts";

export interface RotationParts {
  readonly store: Store;
  readonly lead: Lead;
  readonly authorities: Authorities;
  /** True once control's listener takes clients of that infrastructure CA. */
  readonly anchored: (ca: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Generations of each CA: next → active → retired → ended, and withdrawn → ended where an operator takes one out. Each turn looks at
 * what is and takes the steps that are open, each in a transaction of its own, so that a kill anywhere costs nothing but time: files
 * without a row were made and not noted, rows that ended with files still there were noted and not removed.
 */
export class Rotation {
  readonly #parts: RotationParts;

  constructor(parts: RotationParts) {
    this.#parts = parts;
  }

  /** @returns `idleMs`, or 0 when a step was taken @throws Problem not_leading */
  async turn(idleMs: number): Promise<number> {
    const { store, lead, authorities, anchored, clock, log } = this.#parts;
    const now = clock.now();
    const generations = authorities.all;
    if (generations.length === 0) return idleMs;
    const rows = await store.read((db) => all(db.selectFrom("authorities").selectAll().orderBy("ca")));
    const context = { authorities: generations, crosses: authorities.crosses, anchored, now };
    for (const step of steps(rows, generations)) {
      const taken = await store.write((db) => perform(db, lead, step, context), ["head", "revocation"]);
      if (!taken) continue;
      const ca = step.kind === "note" ? step.authority.id : step.row.ca;
      if (step.kind === "end") authorities.remove(ca);
      if (step.kind === "promote") authorities.activate(ca);
      log.info({ step: step.kind, ca }, "CA");
      return 0;
    }
    for (const { ca, state } of rows) {
      if (state === "active") authorities.activate(ca);
      else if (state === "ended" && isReplaced(ca, rows, generations)) authorities.remove(ca);
    }
    return idleMs;
  }
}

/** The one that signs in its place is here: an older folder that was put back is not emptied. */
function isReplaced(ca: string, rows: readonly AuthorityRow[], generations: readonly Authority[]): boolean {
  const kind = rows.find((row) => row.ca === ca)?.kind;
  const signing = rows.find((row) => row.kind === kind && row.state === "active")?.ca;
  return generations.some(({ id }) => id === signing);
}

/** What others chain to is told before them. */
const ORDER = ["root", "infrastructure", "device"] as const;

/** Steps that may be open, those first that others wait for. */
function steps(rows: readonly AuthorityRow[], generations: readonly Authority[]): readonly Step[] {
  const known = new Set(rows.map(({ ca }) => ca));
  const signing = new Set(rows.filter(({ state }) => state === "active").map(({ kind }) => kind));
  const present = new Set(generations.map(({ id }) => id));
  const notes: Step[] = [];
  for (const authority of generations.filter(({ id }) => !known.has(id))) {
    notes.push({ kind: "note", authority, state: signing.has(authority.kind) ? "next" : "active" });
    signing.add(authority.kind);
  }
  // What leaves does so without its files too: Storage, or the folder, may be of another day.
  const open = rows.filter(({ ca, state }) => present.has(ca) || state === "retired" || state === "withdrawn");
  return [...notes, ...open.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind)).flatMap(openStep)];
}

function openStep(row: AuthorityRow): Step[] {
  switch (row.state) {
    case "next":
      return [{ kind: row.told === null ? "tell" : "promote", row }];
    case "active":
      return row.told === null ? [{ kind: "tell", row }] : [];
    case "retired":
      return [{ kind: "end", row }];
    case "withdrawn":
      return [
        { kind: "revoke", row },
        { kind: "end", row },
      ];
    case "ended":
      return [];
    default:
      return row.state satisfies never;
  }
}
