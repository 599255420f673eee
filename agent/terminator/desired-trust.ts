import { hash } from "node:crypto";
import type { DesiredState, TrustEntry } from "../desired.ts";
import type { TrustDifference } from "../target.ts";
import { type BindingBody, type CertificateBody, type CrlBody, readBindingId } from "../trust-bodies.ts";
import {
  type BindingLengths,
  bindingEntry,
  bindingKey,
  certificateDer,
  certificateEntry,
  connectionNumber,
  crlPem,
  holds,
  lengthsOf,
  type MapEntry,
  readBinding,
  readCertificate,
  readCrl,
} from "./entries.ts";

/** A binding that ended, with the numbers of its device's connections. */
export interface Ended {
  readonly id: string;
  readonly numbers: readonly number[];
}

/** How the ids of roots and of cross certificates begin. */
const ROOT = "root-";
const CROSS = "cross-";

/**
 * The part of trust that is rewritten whole when it changes: CAs, CRLs and bindings. Registered certificates are too many for that; of
 * them it knows those of the pattern `both`, by device, because the end of a binding ends their connections.
 */
export class SmallTrust {
  readonly #authorities = new Map<string, string>();
  readonly #crls = new Map<string, CrlBody>();
  readonly #bindings = new Map<string, BindingBody>();
  /** Ids of bindings by device. */
  readonly #bindingsOf = new Map<string, Set<string>>();
  readonly #bound = new Map<string, Set<string>>();
  readonly #deviceOf = new Map<string, string>();
  readonly #since: number;
  #firstEnd = Number.POSITIVE_INFINITY;

  /** @param since as of {@link firstEnd}, ms */
  constructor(since = Number.POSITIVE_INFINITY) {
    this.#since = since;
  }

  static of(desired: DesiredState, since?: number): SmallTrust {
    const trust = new SmallTrust(since);
    for (const entry of desired.trust()) trust.take(entry.target, entry.id, entry.body);
    return trust;
  }

  /** @param body null takes the entry away */
  take(target: TrustEntry["target"], id: string, body: string | null): void {
    switch (target) {
      case "ca":
        put(this.#authorities, id, body);
        return;
      case "crl":
        put(this.#crls, id, body === null ? null : readCrl(body));
        return;
      case "binding":
        this.#takeBinding(id, body === null ? null : readBinding(body));
        return;
      case "certificate":
        this.#takeCertificate(id, body);
        return;
      default:
        target satisfies never;
    }
  }

  /** A binding with the numbers that connections of its device are kept track of by. */
  readonly withNumbers = (id: string): Ended => ({
    id,
    numbers: [...(this.#bound.get(readBindingId(id).device) ?? [])].map(connectionNumber),
  });

  #takeBinding(id: string, body: BindingBody | null): void {
    put(this.#bindings, id, body);
    const { device } = readBindingId(id);
    const own = this.#bindingsOf.get(device) ?? new Set();
    if (body === null) own.delete(id);
    else own.add(id);
    if (own.size === 0) this.#bindingsOf.delete(device);
    else this.#bindingsOf.set(device, own);
  }

  /** True when the device holds a prefix, still, that the address is in. */
  holds(device: string, family: 4 | 6, address: string, now: number): boolean {
    const own = [...(this.#bindingsOf.get(device) ?? [])];
    return own.some((id) => (this.#bindings.get(id)?.expiresAt ?? 0) > now && holds(id, family, address));
  }

  #takeCertificate(fingerprint: string, body: string | null): void {
    const old = this.#deviceOf.get(fingerprint);
    if (old !== undefined) this.#bound.get(old)?.delete(fingerprint);
    this.#deviceOf.delete(fingerprint);
    if (body === null) return;
    const { device, pattern, notAfter } = readCertificate(body);
    if (notAfter > this.#since) this.#firstEnd = Math.min(this.#firstEnd, notAfter);
    if (pattern !== "both") return;
    this.#deviceOf.set(fingerprint, device);
    const own = this.#bound.get(device) ?? new Set();
    this.#bound.set(device, own.add(fingerprint));
  }

  /** When the first certificate that was ever taken, or the first binding that is there, runs out, of those that had not by `since`; ms. */
  get firstEnd(): number {
    let first = this.#firstEnd;
    for (const { expiresAt } of this.#bindings.values()) if (expiresAt > this.#since && expiresAt < first) first = expiresAt;
    return first;
  }

  /** True while the CA of that id is there: what another one signed does not count, whoever names it and whatever chain is shown. */
  hasAuthority(id: string): boolean {
    return this.#authorities.has(id);
  }

  get authorityIds(): ReadonlySet<string> {
    return new Set(this.#authorities.keys());
  }

  /**
   * CAs as PEM, each once. Roots are there by themselves, so nothing else has to tie them together; the pinned one stands in while the
   * registry names none, and leaves with its list when the registry retires it.
   */
  authorities(root: string): string[] {
    const named = [...this.#authorities].filter(([id]) => !id.startsWith(CROSS));
    const all = [...(named.some(([id]) => id.startsWith(ROOT)) ? [] : [root]), ...named.map(([, pem]) => pem)];
    const unlike = new Map(all.map((pem) => [hash("sha256", certificateDer(pem)), pem]));
    return [...unlike.values()].map((pem) => (pem.endsWith("\n") ? pem : `${pem}\n`));
  }

  /** What ties several roots together: PEM, for those who are shown the service's certificate. */
  crosses(): string[] {
    return [...this.#authorities].filter(([id]) => id.startsWith(CROSS)).map(([, pem]) => pem);
  }

  /** CRLs with their CA's id, `pem` null for those that are too large for the feed. */
  crls(): { readonly id: string; readonly sha256: string; readonly pem: string | null }[] {
    return [...this.#crls].map(([id, { sha256, der }]) => ({ id, sha256, pem: der === null ? null : crlPem(der) }));
  }

  *bindings(): Generator<MapEntry> {
    for (const [id, body] of this.#bindings) yield bindingEntry(id, body);
  }

  /** Ids of the bindings that ran out after the one time, and by the other; ms. */
  ranOut(after: number, by: number): string[] {
    return [...this.#bindings].flatMap(([id, { expiresAt }]) => (expiresAt > after && expiresAt <= by ? [id] : []));
  }

  /** @param always lengths that are there in any case */
  lengths(always: BindingLengths): BindingLengths {
    return lengthsOf(this.#bindings.keys(), always);
  }
}

/** Registered certificates of the CAs that are there, as lines of the map. */
export function* certificateEntries(desired: DesiredState, trust: SmallTrust): Generator<MapEntry> {
  for (const { target, id, body } of desired.trust()) {
    const certificate = target === "certificate" ? countedCertificate(trust, body) : null;
    if (certificate !== null) yield certificateEntry(id, certificate);
  }
}

function countedCertificate(trust: SmallTrust, body: string): CertificateBody | null {
  const certificate = readCertificate(body);
  return trust.hasAuthority(certificate.issuer) ? certificate : null;
}

/** Differences by what they are. */
export interface TrustChanges {
  readonly registered: readonly MapEntry[];
  /** Known certificates of which something else is told than before, such as another pattern. */
  readonly altered: readonly { readonly fingerprint: string; readonly entry: MapEntry }[];
  /** Fingerprints. */
  readonly gone: readonly string[];
  /** What becomes of bindings, null for those that ended. */
  readonly bindings: readonly { readonly key: string; readonly entry: MapEntry | null }[];
  readonly authoritiesChanged: boolean;
  readonly crlsChanged: boolean;
}

/** @param trust with the differences: a certificate whose CA is not there is none */
export function sortChanges(differences: readonly TrustDifference[], trust: SmallTrust): TrustChanges {
  const of = (target: TrustEntry["target"]) => differences.filter((difference) => difference.target === target);
  const certificates = of("certificate").map(({ wanted, ...rest }) => ({
    ...rest,
    removed: wanted === null,
    wanted: wanted === null ? null : countedCertificate(trust, wanted),
  }));
  const bindings = of("binding");
  return {
    registered: certificates.flatMap(({ id, applied, wanted }) =>
      wanted === null || applied !== null ? [] : [certificateEntry(id, wanted)],
    ),
    altered: certificates.flatMap(({ id, applied, wanted }) =>
      wanted === null || applied === null ? [] : [{ fingerprint: id, entry: certificateEntry(id, wanted) }],
    ),
    // Also what was never applied: it came and went, and may have been seen in between.
    gone: certificates.flatMap(({ id, applied, wanted, removed }) => (removed || (wanted === null && applied !== null) ? [id] : [])),
    bindings: bindings.map(({ id, wanted }) => ({
      key: bindingKey(id),
      entry: wanted === null ? null : bindingEntry(id, readBinding(wanted)),
    })),
    authoritiesChanged: of("ca").length > 0,
    crlsChanged: of("crl").length > 0,
  };
}

function put<V>(map: Map<string, V>, id: string, value: V | null): void {
  if (value === null) map.delete(id);
  else map.set(id, value);
}
