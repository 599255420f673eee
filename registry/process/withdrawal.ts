import type { RevocationReason } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import type { Authorities } from "../ca/authorities.ts";
import { issuedFacts } from "../ca/authority.ts";
import { revokeCertificate } from "../ca/ledger.ts";
import { appendAudit, assertLead } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";

/**
 * An operator's word: a CA that does not sign is taken out, with all that it signed. The root's list names it within a second; rotation
 * (rotation.ts) does the rest. Write it with wakes "progress" and "revocation".
 * @throws Problem authority_unknown | authority_signs | authority_needed | root_key_away | not_leading
 */
export function* withdrawAuthority(
  db: Builder,
  lead: Lead,
  input: {
    readonly authorities: Pick<Authorities, "all">;
    /** Agents that were let in by a certificate of the CA of that common name, at this moment. */
    readonly showing: (name: string) => readonly string[];
    /** Agents that have a feed at this moment. */
    readonly connected: readonly string[];
    readonly ca: string;
    readonly reason: RevocationReason;
    readonly now: number;
    readonly actor: string;
  },
): Command<void> {
  yield* assertLead(db, lead);
  const { authorities, ca, reason, now, actor } = input;
  const row = yield* first(db.selectFrom("authorities").selectAll().where("ca", "=", ca));
  if (row === undefined || row.state === "ended") throw new Problem(404, "authority_unknown", "There is no CA of that name.");
  if (row.state === "withdrawn") return;
  if (row.state === "active") throw new Problem(409, "authority_signs", `${ca} signs: rotate it first (ca rotate --kind ${row.kind}).`);
  const below = authorities.all.filter(({ id, signedBy }) => id !== ca && row.kind === "root" && signedBy === row.name);
  if (below.length > 0) throw needed(ca, `it signed ${below.map(({ id }) => id).join(", ")}: rotate and retire those first`);
  if (row.kind === "infrastructure") yield* assertNoAgents(db, row, { ...input, showing: input.showing(row.name) });
  if (row.kind !== "root") {
    // Its own files may be gone: Storage has its certificate.
    const { issuer: signedBy, fingerprint } = issuedFacts(row.certificate);
    const root = authorities.all.find(({ name }) => name === signedBy);
    if (root === undefined || root.issuer === null)
      throw new Problem(
        409,
        "root_key_away",
        `The key of ${root?.id ?? signedBy}, which signed ${ca}, is not with the registry: put it back into its pki folder, for its list must name that CA.`,
      );
    yield* revokeCertificate(db, fingerprint, now, reason);
  }
  yield* all(db.updateTable("authorities").set({ state: "withdrawn", since: now }).where("ca", "=", ca));
  yield* appendAudit(db, { at: now, actor, action: "ca.withdrawn", detail: { ca, reason } });
}

/**
 * An agent whose only certificate ended could not ask for its next one; one that still shows the one before, or is away while that one
 * lives, may never have got the answer. Agents of the open zone have no feed to be seen by.
 */
function* assertNoAgents(
  db: Builder,
  { ca, name: issuer }: Pick<Database["authorities"], "ca" | "name">,
  { showing, connected, now }: { readonly showing: readonly string[]; readonly connected: readonly string[]; readonly now: number },
): Command<void> {
  const live = db.selectFrom("agents").where("agents.revoked_at", "is", null);
  const agents = live.innerJoin("certificates", "certificates.fingerprint", "agents.fingerprint").select("name");
  const rows = yield* all(agents.where("issuer", "=", issuer).orderBy("name").limit(MOST_NAMED));
  const left = named([...rows.map((agent) => agent.name), ...showing]);
  if (left !== "") throw needed(ca, `agents did not take their next certificates yet: ${left}`);
  const here = new Set(connected);
  const away = (yield* all(live.select("name").where("zone", "=", "restricted").orderBy("name"))).filter(({ name }) => !here.has(name));
  const doubted: string[] = [];
  for (const { name } of away) {
    const held = db.selectFrom("certificates").select("fingerprint").where("subject", "=", `${URN.agent}${name}`);
    const before = held.where("issuer", "=", issuer).where("state", "=", "live").where("not_after", ">", now).limit(1);
    if ((yield* first(before)) !== undefined) doubted.push(name);
  }
  if (doubted.length > 0)
    throw needed(
      ca,
      `agents are away, and were not seen with their next certificates: ${named(doubted)}. Wait for them, or revoke what they had before`,
    );
}

const MOST_NAMED = 10;
const named = (names: readonly string[]): string => [...new Set(names)].sort().slice(0, MOST_NAMED).join(", ");

const needed = (ca: string, why: string): Problem => new Problem(409, "authority_needed", `${ca} is still needed: ${why}.`);
