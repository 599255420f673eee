import type { Authorities, Authority } from "../ca/authorities.ts";
import type { CaKind } from "../ca/authority.ts";
import { crlEntries } from "../ca/crl.ts";
import type { RootEntries } from "../ca/files.ts";
import { readRevoked } from "../store/crls.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Store } from "../store/store.ts";
import { reasonOf } from "./listed-certificates.ts";

/** CAs whose certificates devices show at a gate: agents are told of these. */
export const isOfDevices = ({ kind }: Pick<Authority, "kind">): boolean => kind !== "infrastructure";

/** Which CAs sign, as Storage has it. Where it does not know yet, the first of each kind does. */
export async function settleAuthorities(store: Store, authorities: Pick<Authorities, "activate">): Promise<void> {
  const active = await store.read((db) => all(db.selectFrom("authorities").select("ca").where("state", "=", "active")));
  for (const { ca } of active) authorities.activate(ca);
}

/** Common name of the CA of that kind that signs; null before there is one. */
export function* readSigningName(db: Builder, kind: CaKind): Command<string | null> {
  const signing = db.selectFrom("authorities").select("name").where("kind", "=", kind).where("state", "=", "active");
  return (yield* first(signing))?.name ?? null;
}

/** CAs that count and whose files are not here: Storage, or the folder, was put back from another day. */
export function* readMissing(db: Builder, here: readonly Pick<Authority, "id">[]): Command<Database["authorities"][]> {
  const rows = yield* all(db.selectFrom("authorities").selectAll().where("state", "!=", "ended").orderBy("ca"));
  return rows.filter(({ ca }) => !here.some(({ id }) => id === ca));
}

/** A root signs few CAs. */
const MOST_ENTRIES = 1_000;

/** What each root's list must name: CAs that an operator took back. */
export function* rootEntries(db: Builder, now: number): Command<RootEntries> {
  const entries = new Map<string, Buffer[]>();
  for (const { name } of yield* all(db.selectFrom("authorities").select("name").where("kind", "=", "root"))) {
    const rows = yield* readRevoked(db, { issuer: name, after: "", ending: now, limit: MOST_ENTRIES });
    entries.set(name, [entriesOf(rows)]);
  }
  return (root) => entries.get(root) ?? [];
}

/** Revoked certificates as their CA's list has them. */
export const entriesOf = (rows: readonly { serial: string; revoked_at: number | null; reason: string | null }[]): Buffer =>
  crlEntries(
    rows.map(({ serial, revoked_at, reason }) => ({ serial, revokedAt: revoked_at ?? 0, reason: reasonOf(reason) ?? "unspecified" })),
  );
