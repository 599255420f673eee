import type { Change } from "../../lib/feed/messages.ts";
import { Problem } from "../../lib/problem.ts";
import type { Issued } from "../ca/authority.ts";
import { parseCsr } from "../ca/csr.ts";
import type { DeviceCa } from "../ca/device.ts";
import { recordCertificates } from "../ca/ledger.ts";
import { isSignerUnavailable } from "../ca/signer-unavailable.ts";
import type { Pattern } from "../rules/lane.ts";
import { newId } from "../store/id.ts";
import { prepared as preparedQuery } from "../store/prepared.ts";
import { type Builder, type Command, first } from "../store/store.ts";
import { compromisedAmong, keyDigest } from "./compromised-keys.ts";

/**
 * A certificate that was signed for a submission before its transaction, which cannot wait for a signature. It leaves this process
 * with that transaction's outcome alone: when the transaction decides otherwise, nobody ever sees it.
 */
export interface Signed {
  /** For whom: the device's id, also when the transaction makes that device. */
  readonly device: string;
  readonly issued: Issued;
  /** What its key is known by: {@link keyDigest}. */
  readonly key: string;
  /** The CA that signed it, and PEM of what goes behind the certificate. */
  readonly ca: string;
  readonly chain: string;
  /** The life that the profile gave when it was signed. */
  readonly lifeMs: number;
}

/** The certificate that a submission asks for. */
export interface Wanted {
  /** Null for a device that the transaction will make. */
  readonly device: string | null;
  readonly lifeMs: number;
}

/** What became of a submission's CSR before its transaction. */
export type Prepared =
  | { readonly kind: "none" }
  | { readonly kind: "signed"; readonly signed: Signed }
  | { readonly kind: "refused"; readonly problem: Problem };

export const NO_CERTIFICATE: Prepared = { kind: "none" };

/**
 * Signs a request. Looks at the request first: what is wrong with it is told without a signature made.
 * @param ca null where there is none yet
 * @throws Problem signer_unavailable, or what is no Problem of the request's
 */
export async function signFor(ca: DeviceCa | null, csr: Uint8Array, { device, lifeMs }: Wanted, now: number): Promise<Prepared> {
  try {
    const request = parseCsr(csr);
    if (ca === null) throw new Problem(503, "ca_missing", "This registry has no CA for devices yet: its operator runs 'init' once more.");
    const id = device ?? newId(now);
    const issued = await ca.issue(request, id, lifeMs, now);
    return { kind: "signed", signed: { device: id, issued, key: keyDigest(request.spki), ca: ca.id, chain: ca.chain, lifeMs } };
  } catch (problem) {
    // Not the request's fault: it waits until the signer is back.
    if (problem instanceof Problem && !isSignerUnavailable(problem)) return { kind: "refused", problem };
    throw problem;
  }
}

/** How what certificates were signed under stands at this moment. */
interface Standing {
  /** CAs that sign, and that the gates know: there is one such CA at most. */
  readonly signing: ReadonlySet<string>;
  /** Keys that are in other hands. */
  readonly compromised: ReadonlySet<string>;
}

/**
 * The certificate that a transaction may store.
 * @throws Problem the request's own, key_compromised, or certificate_stale: what it was signed under has changed meanwhile, so it has to
 *   be signed anew
 */
export function signedNow(prepared: Prepared, wanted: Wanted | null, { signing, compromised }: Standing): Signed | null {
  if (prepared.kind === "refused") throw prepared.problem;
  if (wanted === null) return null;
  if (prepared.kind === "signed") {
    const { signed } = prepared;
    if (compromised.has(signed.key))
      throw new Problem(422, "key_compromised", "This key is known to be in other hands: make a new one, and ask for its certificate.");
    const asWanted = signed.lifeMs === wanted.lifeMs && (wanted.device === null || wanted.device === signed.device);
    if (asWanted && signing.has(signed.ca)) return signed;
  }
  throw new Problem(503, "certificate_stale", "The profile or the CA changed while the certificate was signed. Try again.");
}

const selectSigning = preparedQuery((db, v: { ca: string }) =>
  db.selectFrom("authorities").select(["state", "told"]).where("ca", "=", v.ca),
);

/** Of these certificates alone. */
export function* standingOf(db: Builder, prepared: readonly Prepared[]): Command<Standing> {
  const signed = prepared.flatMap((each) => (each.kind === "signed" ? [each.signed] : []));
  const signing = new Set(signed.map(({ ca }) => ca));
  for (const ca of [...signing]) {
    const row = yield* first(selectSigning(db, { ca }));
    if (row === undefined || row.state !== "active" || row.told === null) signing.delete(ca);
  }
  const keys = signed.map(({ key }) => key);
  return { signing, compromised: yield* compromisedAmong(db, keys) };
}

/** Whose device a certificate is for, and what that device may do. */
interface Holder {
  readonly pattern: Pattern;
  readonly subject: string;
}

/** Stores a device's certificate; it admits from the revision of the change that is returned. */
export function* addCertificate(db: Builder, signed: Signed, holder: Holder): Command<Change> {
  const [change] = yield* addCertificates(db, [{ signed, holder }]);
  return change as Change;
}

/** As {@link addCertificate}, of many: the changes in their order. */
export function* addCertificates(
  db: Builder,
  certificates: readonly { readonly signed: Signed; readonly holder: Holder }[],
): Command<readonly Change[]> {
  yield* recordCertificates(
    db,
    certificates.map(({ signed }) => signed),
  );
  return certificates.map(({ signed: { device, issued, ca }, holder: { pattern, subject } }) => {
    const { serial, notAfter, fingerprint } = issued;
    const body = JSON.stringify({ device, pattern, subject, serial, issuer: ca, notAfter });
    return { kind: "trust.set", target: "certificate", id: fingerprint, body };
  });
}

/** The member of an answer that tells a certificate. */
export const certificateAnswer = (signed: Signed | null): { certificate?: { pem: string; chain: string; notAfter: number } } =>
  signed === null ? {} : { certificate: { pem: signed.issued.pem, chain: signed.chain, notAfter: signed.issued.notAfter } };
