import type { CertificateAuthority } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import type { Authorities } from "../ca/authorities.ts";
import { type CaKind, issuedFacts, ROLES } from "../ca/authority.ts";
import { PkiError } from "../ca/folder.ts";
import { KeyError } from "../ca/key-error.ts";
import { readCrlState } from "../store/crls.ts";
import { appendAudit, assertLead } from "../store/queries.ts";
import { all, type Builder, type Command, type Lead, type Store } from "../store/store.ts";
import { readMissing } from "./authorities.ts";
import { waitingFor } from "./rotation-steps.ts";

/** Every CA that counts, the root first; behind them those that Storage knows and whose files are not here. */
export function* showAuthorities(db: Builder, { all: authorities }: Pick<Authorities, "all">): Command<CertificateAuthority[]> {
  const rows = yield* all(db.selectFrom("authorities").selectAll());
  const shown: CertificateAuthority[] = [];
  const missing = (yield* readMissing(db, authorities)).map(({ ca, kind, certificate }) => {
    const { issuer: signedBy, notAfter } = issuedFacts(certificate);
    return { id: ca, kind, role: ROLES[kind], signedBy, notAfter, issuer: null };
  });
  for (const { id, kind, role, signedBy, notAfter, issuer } of [...authorities, ...missing]) {
    const row = rows.find(({ ca }) => ca === id);
    const list = yield* readCrlState(db, { ca: id });
    // Between its end and the end of its files, and before its row.
    const state = row === undefined || row.state === "ended" ? "retired" : row.state;
    shown.push({
      id,
      role,
      signedBy,
      state,
      notAfter,
      keyHere: issuer !== null,
      crl:
        list === undefined || list.number === 0
          ? null
          : { number: list.number, thisUpdate: list.this_update, nextUpdate: list.next_update },
      waitingFor: state === "next" ? yield* waitingFor(db, kind, row?.told ?? Number.MAX_SAFE_INTEGER) : [],
    });
  }
  return shown;
}

/**
 * Begins a rotation: makes the next CA of that kind. The rest goes by itself (rotation.ts): it signs once whoever must know it does, and
 * the one before leaves after its last certificate ended.
 * @throws Problem rotation_running | root_key_away | signer_key_missing | signer_unavailable | not_leading
 */
export async function beginRotation(
  store: Store,
  lead: Lead,
  input: { readonly authorities: Authorities; readonly kind: CaKind; readonly now: number; readonly actor: string },
): Promise<string> {
  const { authorities, kind, now, actor } = input;
  await store.write(function* (db) {
    yield* assertLead(db, lead);
    const rows = yield* all(db.selectFrom("authorities").select(["ca", "state"]));
    const known = new Set(rows.map(({ ca }) => ca));
    // One that was made and is not noted yet is under way too.
    const running = rows.find(({ state }) => state === "next")?.ca ?? authorities.all.find(({ id }) => !known.has(id))?.id;
    if (running !== undefined)
      throw new Problem(409, "rotation_running", `A rotation to ${running} is under way: 'ca show' says which gates it waits for.`);
    yield* appendAudit(db, { at: now, actor, action: "ca.rotation_begun", detail: { kind } });
  });
  try {
    return (await authorities.makeNext(kind, now)).id;
  } catch (cause) {
    if (cause instanceof KeyError) throw new Problem(409, "signer_key_missing", cause.message, { cause });
    if (!(cause instanceof PkiError)) throw cause;
    throw new Problem(409, "root_key_away", "The root's key is not with the registry: put root.key back into its pki folder for this.", {
      cause,
    });
  }
}
