import { type Certificate, type Page, REVOCATION_REASONS, type RevocationReason } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import { revokeCertificate } from "../ca/ledger.ts";
import { appendAudit, assertLead, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { goodOfSameKey, noteCompromised } from "./compromised-keys.ts";
import { removal } from "./held-certificates.ts";
import { assertLimit, type PageRequest, pageOf } from "./paging.ts";

const COLUMNS = [
  "fingerprint",
  "serial",
  "issuer",
  "subject",
  "device",
  "state",
  "not_before",
  "not_after",
  "ends_at",
  "revoked_at",
  "reason",
] as const;

/** In the order of their fingerprints; of one device when it is named. */
export function* listCertificates(
  db: Builder,
  { after, limit, device = null }: PageRequest & { readonly device?: string | null },
): Command<Page<Certificate>> {
  assertLimit(limit);
  let query = db.selectFrom("certificates").select(COLUMNS).orderBy("fingerprint").limit(limit);
  if (after !== null) query = query.where("fingerprint", ">", after);
  if (device !== null) query = query.where("device", "=", device);
  return pageOf((yield* all(query)).map(fromRow), limit, (certificate) => certificate.fingerprint);
}

/** The newest of one device, in the order they were made. */
export function* certificatesOf(
  db: Builder,
  { device, limit }: { readonly device: string; readonly limit: number },
): Command<readonly Certificate[]> {
  const query = db.selectFrom("certificates").select(COLUMNS).where("device", "=", device);
  const rows = yield* all(query.orderBy("not_before", "desc").limit(limit));
  return rows.reverse().map(fromRow);
}

/**
 * An operator's word: ends one certificate, whosever it is. A device keeps its others, but for those of the same key where that is
 * compromised, and its addresses; an agent is revoked with its newest; of one before it the feed alone ends, which may have come with it.
 * A second time changes nothing, but that a key may be called compromised later too. Write it with wakes "head" and "revocation".
 * @returns the certificate, the revision after which no gate takes it, and the agent whose feed must end
 * @throws Problem certificate_unknown | authority_certificate | not_leading
 */
export function* revokeListed(
  db: Builder,
  lead: Lead,
  input: { readonly fingerprint: string; readonly reason: RevocationReason; readonly now: number; readonly actor: string },
): Command<{ certificate: Certificate; revision: number; agent: string | null }> {
  yield* assertLead(db, lead);
  const { fingerprint, reason, now, actor } = input;
  const found = () =>
    first(
      db
        .selectFrom("certificates")
        .select([...COLUMNS, "pem"])
        .where("fingerprint", "=", fingerprint),
    );
  const row = yield* found();
  if (row === undefined) throw new Problem(404, "certificate_unknown", "There is no certificate of that fingerprint.");
  const root = db.selectFrom("authorities").select("ca").where("kind", "=", "root").where("name", "=", row.issuer);
  if ((yield* first(root)) !== undefined)
    throw new Problem(409, "authority_certificate", "This is a CA's own certificate: take the CA out (ca retire).");
  const ended = yield* revokeCertificate(db, fingerprint, now, reason);
  const { device } = row;
  const isCompromised = reason === "keyCompromise";
  if (isCompromised) yield* noteCompromised(db, { pem: row.pem, now });
  // Whoever has the key can show each of them.
  const alike = isCompromised && device !== null ? yield* goodOfSameKey(db, { device, pem: row.pem, now }) : [];
  for (const other of alike) yield* revokeCertificate(db, other.fingerprint, now, reason);
  const over = [...(ended ? [row] : []), ...alike];
  // Of one that another took the place of no gate knows.
  const known = device === null ? [] : over.filter(({ state }) => state === "live");
  const { revision } = yield* commitChanges(db, lead, { changes: known.map((each) => removal(each.fingerprint)), now });
  const agent = ended ? yield* revokeAgentOf(db, row, now) : null;
  const detail = ({ fingerprint, subject, serial }: Told) => ({ fingerprint, subject, serial, device, reason, revision });
  yield* appendAudit(db, ...over.map((each) => ({ at: now, actor, action: "certificate.revoked", detail: detail(each) })));
  return { certificate: fromRow((yield* found()) ?? row), revision, agent };
}

type Told = Pick<Database["certificates"], "fingerprint" | "subject" | "serial">;

/** @returns the agent's name, null when the certificate is none of an agent's */
function* revokeAgentOf(
  db: Builder,
  { fingerprint, subject }: Pick<Database["certificates"], "fingerprint" | "subject">,
  now: number,
): Command<string | null> {
  if (!subject.startsWith(URN.agent)) return null;
  const name = subject.slice(URN.agent.length);
  const newest = db.updateTable("agents").set({ revoked_at: now }).where("name", "=", name).where("fingerprint", "=", fingerprint);
  yield* all(newest.where("revoked_at", "is", null));
  return name;
}

/** Null for what is no reason. */
export const reasonOf = (text: string | null): RevocationReason | null => REVOCATION_REASONS.find((reason) => reason === text) ?? null;

const fromRow = (row: Pick<Database["certificates"], (typeof COLUMNS)[number]>): Certificate => ({
  fingerprint: row.fingerprint,
  serial: row.serial,
  issuer: row.issuer,
  subject: row.subject,
  device: row.device,
  state: row.state,
  notBefore: row.not_before,
  notAfter: row.not_after,
  endsAt: row.ends_at,
  revokedAt: row.revoked_at,
  reason: reasonOf(row.reason),
});
