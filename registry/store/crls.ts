import { sql } from "kysely";
import { atMost, prepared } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command, first } from "./store.ts";

/** What is known of a CA's list without the list itself. */
export type CrlState = Omit<Database["crls"], "der" | "logged">;

const COLUMNS = ["ca", "name", "wanted", "covered", "number", "this_update", "next_update", "sha256"] as const;

const insertCrl = prepared((db, v: { ca: string; name: string; nothing: Uint8Array }) =>
  db
    .insertInto("crls")
    .values({
      ca: v.ca,
      name: v.name,
      wanted: 0,
      covered: 0,
      number: 0,
      this_update: 0,
      next_update: 0,
      sha256: "",
      der: v.nothing,
      logged: "[]",
    })
    .onConflict((conflict) => conflict.doNothing()),
);

/** Makes the place where a CA's list is to stand; what stands there stays. */
export function* prepareCrl(db: Builder, { ca, name }: Pick<Database["crls"], "ca" | "name">): Command<void> {
  yield* all(insertCrl(db, { ca, name, nothing: new Uint8Array() }));
}

const selectState = prepared((db, v: { ca: string }) => db.selectFrom("crls").select(COLUMNS).where("ca", "=", v.ca));
const selectDer = prepared((db, v: { ca: string }) => db.selectFrom("crls").select("der").where("ca", "=", v.ca));
const selectLogged = prepared((db, v: { ca: string }) => db.selectFrom("crls").select("logged").where("ca", "=", v.ca));

/** Undefined for what is no CA, number 0 while it has no list. */
export function* readCrlState(db: Builder, { ca }: { readonly ca: string }): Command<CrlState | undefined> {
  return yield* first(selectState(db, { ca }));
}

/** In the order of the CAs' ids. */
export function readCrlStates(db: Builder): Command<CrlState[]> {
  return all(db.selectFrom("crls").select(COLUMNS).orderBy("ca"));
}

/** The list itself, DER. */
export function* readCrlDer(db: Builder, { ca }: { readonly ca: string }): Command<Uint8Array | null> {
  return (yield* first(selectDer(db, { ca })))?.der ?? null;
}

/** A list in the change log: the revision that told it, and how many characters that took. */
export type LoggedCrl = readonly [revision: number, length: number];

export function* readLogged(db: Builder, { ca }: { readonly ca: string }): Command<readonly LoggedCrl[]> {
  const row = yield* first(selectLogged(db, { ca }));
  return row === undefined ? [] : (JSON.parse(row.logged) as LoggedCrl[]);
}

/** A CA that ended has no list. */
export function* dropCrl(db: Builder, { ca }: { readonly ca: string }): Command<void> {
  yield* all(db.deleteFrom("crls").where("ca", "=", ca));
}

/** The list that takes the last one's place. */
export function* writeCrl(db: Builder, { ca, ...list }: Omit<Database["crls"], "name" | "wanted">): Command<void> {
  yield* all(db.updateTable("crls").set(list).where("ca", "=", ca));
}

const addWanted = prepared((db, v: { name: string }) =>
  db
    .updateTable("crls")
    .set((eb) => ({ wanted: eb("wanted", "+", 1) }))
    .where("name", "=", v.name),
);

/** Notes that a certificate of that CA was revoked: its next list is due. */
export function* wantCrl(db: Builder, issuer: string): Command<void> {
  yield* all(addWanted(db, { name: issuer }));
}

const selectRevoked = prepared((db, v: { issuer: string; after: string; ending: number; limit: number }) =>
  db
    .selectFrom("certificates")
    .select(["serial", "revoked_at", "reason"])
    .where("issuer", "=", v.issuer)
    // Written out, so that the index over revoked ones alone is used.
    .where(sql<boolean>`state = 'revoked'`)
    .where("serial", ">", v.after)
    .where("not_after", ">", v.ending)
    .orderBy("serial")
    .limit(atMost(v.limit)),
);

/** Revoked certificates of one CA that end after `ending`, in the order of their serials, the first page after "". */
export function readRevoked(
  db: Builder,
  page: { readonly issuer: string; readonly after: string; readonly ending: number; readonly limit: number },
): Command<{ serial: string; revoked_at: number | null; reason: string | null }[]> {
  return all(selectRevoked(db, page));
}
