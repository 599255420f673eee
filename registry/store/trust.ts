import type { Change, TrustTarget } from "../../lib/feed/messages.ts";
import { prepared, preparedRows } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command, first } from "./store.ts";

/** What names an entry of trust. */
interface TrustKey {
  readonly target: TrustTarget;
  readonly id: string;
}

const nameOf = ({ target, id }: TrustKey): string => `${target} ${id}`;

const selectBody = prepared((db, v: TrustKey) =>
  db.selectFrom("trust").select("body").where("target", "=", v.target).where("id", "=", v.id),
);

/** The body of a trust entry as it stands, null when there is none. */
export function* trustBody(db: Builder, target: TrustTarget, id: string): Command<string | null> {
  return (yield* first(selectBody(db, { target, id })))?.body ?? null;
}

/** Of one target, whose name each row carries. */
const selectEntries = preparedRows((db, rows: readonly [TrustKey, ...TrustKey[]]) =>
  db
    .selectFrom("trust")
    .select(["target", "id", "body"])
    .where("target", "=", rows[0].target)
    .where(
      "id",
      "in",
      rows.map((row) => row.id),
    ),
);
const upsertEntries = preparedRows((db, rows: readonly Database["trust"][]) =>
  db
    .insertInto("trust")
    .values(rows.map((v) => ({ target: v.target, id: v.id, body: v.body })))
    .onConflict((conflict) => conflict.columns(["target", "id"]).doUpdateSet((eb) => ({ body: eb.ref("excluded.body") }))),
);
const deleteEntry = prepared((db, v: TrustKey) => db.deleteFrom("trust").where("target", "=", v.target).where("id", "=", v.id));

/** The entries of trust that changes are about: read once, changed one by one, written once. */
export class TrustTable {
  readonly #bodies: Map<string, string>;
  readonly #changed = new Map<string, TrustKey & { readonly body: string | null }>();

  private constructor(bodies: Map<string, string>) {
    this.#bodies = bodies;
  }

  static *open(db: Builder, changes: readonly Change[]): Command<TrustTable> {
    const keys = changes.filter((change) => change.kind === "trust.set" || change.kind === "trust.remove");
    const bodies = new Map<string, string>();
    for (const own of Map.groupBy(keys, ({ target }) => target).values()) {
      for (const row of yield* selectEntries(db, own)) bodies.set(nameOf(row), row.body);
    }
    return new TrustTable(bodies);
  }

  /** Gives an entry another body, null for none at all. @returns the one before, null when there was none */
  replace(key: TrustKey, body: string | null): string | null {
    const name = nameOf(key);
    const before = this.#bodies.get(name) ?? null;
    if (body === null) this.#bodies.delete(name);
    else this.#bodies.set(name, body);
    this.#changed.set(name, { target: key.target, id: key.id, body });
    return before;
  }

  *write(db: Builder): Command<void> {
    const rows: Database["trust"][] = [];
    for (const { target, id, body } of this.#changed.values()) {
      if (body === null) yield* all(deleteEntry(db, { target, id }));
      else rows.push({ target, id, body });
    }
    yield* upsertEntries(db, rows);
  }
}
