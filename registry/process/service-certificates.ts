import { X509Certificate } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { coversName, serverName } from "../ca/extensions.ts";
import { type Builder, type Command, first } from "../store/store.ts";

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

/**
 * The names of a service's live certificate, for who holds its key: whoever asks proved that by a request of that key.
 * @param input.reserved the registry's own names, whose certificates are made over its local socket alone
 * @throws Problem certificate_unknown | certificate_revoked | certificate_ended | local_only
 */
export function* renewableServer(
  db: Builder,
  input: { readonly fingerprint: string; readonly spki: Buffer; readonly reserved: readonly string[]; readonly now: number },
): Command<readonly string[]> {
  const { fingerprint, spki, reserved, now } = input;
  const known = db.selectFrom("certificates").select(["pem", "state", "not_after"]).where("fingerprint", "=", fingerprint);
  const row = yield* first(known.where("device", "is", null));
  const own = row === undefined ? null : new X509Certificate(row.pem);
  const names = own === null ? null : serverNames(own);
  // One answer for all: whose certificates there are is nobody's to learn who does not hold their keys.
  if (row === undefined || own === null || names === null || !own.publicKey.export({ type: "spki", format: "der" }).equals(spki))
    throw new Problem(404, "certificate_unknown", "There is no certificate of a service with that fingerprint and that key.");
  if (row.state === "revoked") throw new Problem(403, "certificate_revoked", "That certificate was revoked: enrol its host anew.");
  if (row.not_after <= now)
    throw new Problem(403, "certificate_ended", "That certificate ran out: have a new one made (entityos agent enroll).");
  if (names.some((name) => reserved.some((ours) => coversName(name, ours))))
    throw new Problem(403, "local_only", "Certificates for the registry's own names are made over its local socket only.");
  return names;
}

/** DNS names and addresses of a server's certificate; null of every other one. */
function serverNames({ keyUsage, subjectAltName }: X509Certificate): readonly string[] | null {
  if (!(keyUsage ?? []).includes(SERVER_AUTH)) return null;
  const names = (subjectAltName ?? "").split(", ").map((name) => serverName(/^(?:DNS|IP Address):(.+)$/.exec(name)?.[1] ?? "")?.value);
  return names.every((name) => name !== undefined) ? names : null;
}
