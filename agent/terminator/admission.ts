import { hash, X509Certificate } from "node:crypto";
import { decodePem } from "../../lib/pem.ts";
import type { Lane } from "../../lib/service.ts";
import type { DesiredState } from "../desired.ts";
import type { TrustDifference } from "../target.ts";
import { type BindingBody, type CertificateBody, readBinding, readBindingId } from "../trust-bodies.ts";
import { plainSerial, revokedSerials } from "./crl-serials.ts";
import { holds, readCertificate, TrustBodyError } from "./entries.ts";

/** One request, as the terminator tells of it. */
export interface Question {
  readonly lane: Lane;
  readonly family: 4 | 6;
  /** Canonical. */
  readonly address: string;
  /** How the terminator's own check of the certificate went: `SUCCESS`, `NONE`, or `FAILED:` with OpenSSL's words. */
  readonly verify: string;
  /** The client's certificate, PEM in percent-encoding; empty when it showed none. */
  readonly certificate: string;
}

/** Who a request is by its certificate. */
export interface Identity extends Pick<CertificateBody, "device" | "pattern" | "subject"> {
  readonly fingerprint: string;
}

export interface AdmissionPolicy {
  readonly expiredCrl: "keep" | "close";
  /** Certificates that admit from anywhere count in the lane `ipcert` too. */
  readonly roams: boolean;
}

/** A certificate that is registered, read once. */
interface Known {
  readonly fingerprint: string;
  readonly from: number;
  readonly to: number;
  /** One of the CAs signed it. */
  readonly issued: boolean;
}

/** Certificates that were read and are remembered; the oldest makes room. */
const MAX_KNOWN = 10_000;
/** An unreadable chain or signature is told later than these, so they hide none of that (OpenSSL, `verify_chain`). */
const WITHOUT_CRL = new Set(["FAILED:CRL has expired", "FAILED:unable to get certificate CRL"]);

/**
 * Who is admitted, by what is in force at this moment: registered certificates and bindings. OpenSSL tells the terminator only one of
 * several faults, and that a CRL ran out may hide that the issuer is no CA, or that another list takes the certificate back: so the
 * issuer's signature and the lists are looked at here too.
 */
export class Admission {
  /** Bodies by fingerprint: the very strings that the desired state holds. */
  #certificates = new Map<string, string>();
  #bindings = new Map<string, Map<string, BindingBody>>();
  #authorities: readonly X509Certificate[] = [];
  #ids: ReadonlySet<string> = new Set();
  #known = new Map<string, Known>();
  #revoked = new Map<string, ReadonlySet<string>>();
  readonly #now: () => number;
  policy: AdmissionPolicy;

  constructor(policy: AdmissionPolicy, now: () => number) {
    this.policy = policy;
    this.#now = now;
  }

  /**
   * Takes the whole state in the place of what was there, in one step.
   * @returns true when a certificate or binding that was there is no more, or is another
   */
  replace(desired: DesiredState): boolean {
    const [certificates, bindings] = [this.#certificates, this.#bindings];
    this.#certificates = new Map();
    this.#bindings = new Map();
    try {
      for (const { target, id, body } of desired.trust()) this.#take(target, id, body);
    } catch (error) {
      [this.#certificates, this.#bindings] = [certificates, bindings];
      throw error;
    }
    return (
      [...certificates].some(([id, body]) => this.#certificates.get(id) !== body) ||
      [...bindings].some(([device, own]) => [...own.keys()].some((id) => !this.#bindings.get(device)?.has(id)))
    );
  }

  take({ target, id, wanted }: TrustDifference): void {
    this.#take(target, id, wanted);
  }

  get authorityIds(): ReadonlySet<string> {
    return this.#ids;
  }

  /**
   * @param authorities PEM, one certificate each
   * @param ids of those whose certificates count
   */
  trustAuthorities(authorities: readonly string[], ids: ReadonlySet<string>): void {
    this.#authorities = authorities.map((pem) => new X509Certificate(pem));
    this.#ids = ids;
    this.#known = new Map();
  }

  /** @param crls PEM by the CA's id; all others are forgotten */
  trustCrls(crls: readonly { readonly id: string; readonly pem: string }[]): void {
    this.#revoked = new Map(crls.map(({ id, pem }) => [id, revokedSerials(crlDer(pem))]));
  }

  /** What is registered under a fingerprint; null when nothing is, or it ran out, or its CA is not there. */
  registered(fingerprint: string): CertificateBody | null {
    const text = this.#certificates.get(fingerprint);
    const body = text === undefined ? null : readCertificate(text);
    return body !== null && body.notAfter > this.#now() && this.#ids.has(body.issuer) ? body : null;
  }

  /** True when the device holds a prefix, still, that the address is in. */
  bound(device: string, family: 4 | 6, address: string): boolean {
    for (const [id, { expiresAt }] of this.#bindings.get(device) ?? []) {
      if (expiresAt > this.#now() && holds(id, family, address)) return true;
    }
    return false;
  }

  /** @returns null when the request is not admitted; without identity it is admitted by its address alone */
  decide(question: Question): { readonly identity: Identity | null } | null {
    const { lane, family, address } = question;
    const identity = this.#identify(question);
    if (identity === null) return lane === "ip" ? { identity } : null;
    const { device, pattern } = identity;
    // From an address that is not its device's, one of the pattern `both` counts for none, whoever else the address is granted to.
    const counts = pattern !== "both" || this.bound(device, family, address);
    if (lane === "ip") return { identity: counts ? identity : null };
    const anywhere = pattern === "cert" || pattern === "either";
    if (lane === "roaming") return anywhere ? { identity } : null;
    if (anywhere && this.policy.roams) return { identity };
    return pattern === "both" && counts ? { identity } : null;
  }

  #identify({ verify, certificate }: Question): Identity | null {
    if (verify !== "SUCCESS" && !(this.policy.expiredCrl === "keep" && WITHOUT_CRL.has(verify))) return null;
    const known = this.#known.get(certificate) ?? this.#read(certificate);
    if (known === null || !known.issued || known.from > this.#now() || known.to < this.#now()) return null;
    const body = this.registered(known.fingerprint);
    if (body === null || this.#revoked.get(body.issuer)?.has(plainSerial(body.serial))) return null;
    return { ...body, fingerprint: known.fingerprint };
  }

  /** Only what is registered is read further than to its fingerprint, and remembered. */
  #read(certificate: string): Known | null {
    const pem = percentDecoded(certificate);
    const der = pem === null ? null : decodePem("CERTIFICATE", pem);
    if (der === null) return null;
    const fingerprint = hash("sha256", der);
    if (!this.#certificates.has(fingerprint)) return null;
    const read = new X509Certificate(der);
    const issued = this.#authorities.some((authority) => read.checkIssued(authority) && read.verify(authority.publicKey));
    const known: Known = { fingerprint, from: Date.parse(read.validFrom), to: Date.parse(read.validTo), issued };
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value ?? "");
    this.#known.set(certificate, known);
    return known;
  }

  #take(target: TrustDifference["target"], id: string, body: string | null): void {
    if (target === "certificate") {
      if (body === null) this.#certificates.delete(id);
      else this.#certificates.set(id, body);
    } else if (target === "binding") {
      const { device } = readBindingId(id);
      const own = this.#bindings.get(device) ?? new Map<string, BindingBody>();
      if (body === null) own.delete(id);
      else own.set(id, readBinding(body));
      if (own.size === 0) this.#bindings.delete(device);
      else this.#bindings.set(device, own);
    }
  }
}

function crlDer(pem: string): Buffer {
  const der = decodePem("X509 CRL", pem);
  if (der === null) throw new TrustBodyError("a CRL is not one PEM block");
  return der;
}

function percentDecoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
