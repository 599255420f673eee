import { hash, X509Certificate } from "node:crypto";
import { decodePem } from "../lib/pem.ts";
import { Tracked } from "./tracked.ts";
import type { TrustEntry } from "./trust.ts";
import { checkTrustId, readBinding, readCertificate, readCrl } from "./trust-bodies.ts";

/** A CA may stand this far below the pinned root: the next root, cross-signed, and what that one signed. */
const MAX_DEPTH = 3;
/** Revoked certificates that are remembered. Beyond it no new certificate is believed: a replayed one could not be told from it. */
export const MAX_TOMBSTONES = 2_000_000;
/** CAs whose CRL numbers are remembered, those that are gone too: beyond it no list of a CA that was never heard of is believed. */
export const MAX_NUMBERS = 1_000;

/**
 * What this host believes of the trust that the feed brings (invariant 13), and what it remembers for that: tombstones of removed
 * certificates until they expire, and the highest CRL number per CA. What is not believed counts in the digest and reaches no target.
 */
export class Belief {
  /** Fingerprint → notAfter, integer ms. */
  readonly tombstones = new Tracked<number>();
  /** CA id → number of its latest CRL. */
  readonly numbers = new Tracked<number>();
  readonly #pinned: readonly X509Certificate[];
  #followed: readonly X509Certificate[] = [];
  readonly #now: () => number;

  /**
   * @param pinned PEM text of the pinned root, or of several
   * @param now registry time, integer milliseconds
   */
  constructor(pinned: string, now: () => number) {
    this.#pinned = readPinned(pinned);
    this.#now = now;
  }

  /** Another pinned root, with what this one remembers. */
  under(pinned: string): Belief {
    const next = new Belief(pinned, this.#now);
    next.tombstones.adopt(this.tombstones, Number.POSITIVE_INFINITY);
    next.numbers.adopt(this.numbers, Number.POSITIVE_INFINITY);
    return next;
  }

  /** Roots that the pinned one vouched for count as it does from now on, also when nothing ties them to it any more. @param roots PEM */
  followRoots(roots: readonly string[]): void {
    this.#followed = roots.flatMap(readPinned);
  }

  /**
   * Why an entry is not believed; null when it is. A CA's chain is judged by {@link chained} besides.
   * @param back CRL numbers may go back: a local operator said so
   */
  doubt({ target, id, body }: TrustEntry, back: boolean): string | null {
    try {
      checkTrustId(target, id);
      switch (target) {
        case "ca":
          return readCa(body) === null ? "not one CA certificate" : null;
        case "certificate":
          return this.#doubtCertificate(id, body);
        case "crl":
          return this.#doubtCrl(id, body, back);
        case "binding":
          readBinding(body);
          return null;
        default:
          return target satisfies never;
      }
    } catch {
      return "out of form";
    }
  }

  /** Those of the CAs, by id, that chain to the pinned root by signature, CA flag and validity, whatever order they came in. */
  chained(bodies: ReadonlyMap<string, string>): ReadonlySet<string> {
    const waiting = new Map([...bodies].flatMap(([id, body]) => pair(id, readCa(body))));
    const believed = new Set<string>();
    let above: readonly X509Certificate[] = [...this.#pinned, ...this.#followed];
    for (let depth = 0; depth < MAX_DEPTH && above.length > 0; depth++) {
      const next = [...waiting].filter(([, ca]) => this.#valid(ca) && above.some((parent) => vouches(parent, ca)));
      for (const [id] of next) {
        believed.add(id);
        waiting.delete(id);
      }
      above = next.map(([, ca]) => ca);
    }
    return believed;
  }

  /** A certificate is not to be trusted any more: it never comes back. */
  bury(fingerprint: string, body: string): void {
    const notAfter = notAfterOf(body);
    if (notAfter > this.#now() && this.tombstones.size < MAX_TOMBSTONES) this.tombstones.set(fingerprint, notAfter);
  }

  /** A CRL is in force. @param back it may be an earlier one */
  follow(ca: string, body: string, back: boolean): void {
    const { number } = readCrl(body);
    this.numbers.set(ca, back ? number : Math.max(number, this.numbers.get(ca) ?? 0));
  }

  /** Forgets certificates that have expired: those admit nobody anyway. */
  sweep(): void {
    const nowMs = this.#now();
    for (const [fingerprint, notAfter] of this.tombstones.entries()) if (notAfter <= nowMs) this.tombstones.set(fingerprint, null);
  }

  /** Begins anew. */
  forget(): void {
    for (const remembered of [this.tombstones, this.numbers]) {
      for (const [key] of remembered.entries()) remembered.set(key, null);
      remembered.acknowledgeAll();
    }
  }

  #doubtCertificate(id: string, body: string): string | null {
    readCertificate(body);
    if (this.tombstones.get(id) !== null) return "removed before, and not expired yet";
    return this.tombstones.size >= MAX_TOMBSTONES ? "too many removed certificates to tell it from them" : null;
  }

  #doubtCrl(id: string, body: string, back: boolean): string | null {
    const { number, der, sha256, bytes } = readCrl(body);
    const list = der === null ? null : Buffer.from(der, "base64");
    if (list !== null && (list.length !== bytes || hash("sha256", list) !== sha256)) return "not the list that it is said to be";
    const held = this.numbers.get(id);
    if (held === null && this.numbers.size >= MAX_NUMBERS) return "too many CAs whose lists were followed before";
    return !back && held !== null && number < held ? `number ${number} comes after ${held}` : null;
  }

  #valid(ca: X509Certificate): boolean {
    const nowMs = this.#now();
    return Date.parse(ca.validFrom) <= nowMs && nowMs < Date.parse(ca.validTo);
  }
}

/** The parent signed it; or it is the same CA, name and key, in another certificate (a root beside its cross-signed form). */
function vouches(parent: X509Certificate, ca: X509Certificate): boolean {
  if (ca.checkIssued(parent) && ca.verify(parent.publicKey)) return true;
  return ca.subject === parent.subject && ca.publicKey.equals(parent.publicKey) && ca.checkIssued(ca) && ca.verify(ca.publicKey);
}

/** Null when the text is anything but one certificate of a CA. */
function readCa(body: string): X509Certificate | null {
  const der = decodePem("CERTIFICATE", body);
  if (der === null) return null;
  try {
    const certificate = new X509Certificate(der);
    // Whatever follows the certificate inside the block would be read by others.
    return certificate.ca && certificate.raw.equals(der) ? certificate : null;
  } catch {
    return null;
  }
}

function readPinned(text: string): X509Certificate[] {
  return (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((block) => new X509Certificate(block));
}

const pair = (id: string, ca: X509Certificate | null): [string, X509Certificate][] => (ca === null ? [] : [[id, ca]]);

/** Of what cannot be read, never: then it is not buried, and not believed either. */
function notAfterOf(body: string): number {
  try {
    return readCertificate(body).notAfter;
  } catch {
    return 0;
  }
}
