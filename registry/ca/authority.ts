import { hash, X509Certificate } from "node:crypto";
import { encodePem } from "../../lib/pem.ts";
import { type Certificate, type CertificateTemplate, createIssuer, type Issuer, issueCertificate } from "./certificate.ts";
import { keyIdOf } from "./extensions.ts";
import { commonNameIn, issuerNameIn } from "./issuer-of.ts";
import type { Signer } from "./signer.ts";

const DAY_MS = 24 * 60 * 60_000;

/** How long the CAs last. */
export const CA_LIFE_MS = { root: 20 * 365 * DAY_MS, intermediate: 10 * 365 * DAY_MS } as const;

export type CaRole = "root" | "infrastructure CA" | "device CA";
/** What each kind of CA is called in files, ids and commands. */
export const ROLES = { root: "root", infrastructure: "infrastructure CA", device: "device CA" } as const satisfies Record<string, CaRole>;
export type CaKind = keyof typeof ROLES;

/** A certificate that was made, with the facts that Storage keeps of it. Times are integer milliseconds. */
export interface Issued {
  readonly pem: string;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** Common name of the CA. */
  readonly issuer: string;
  /** `urn:entityos:agent:NAME` and the like, or a server's first name. */
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Common name of a CA: unlike for every key, so that no two generations are mistaken for each other by name. */
export const caName = (role: CaRole, { spki }: Pick<Signer, "spki">): string => `entityOS ${role} ${keyPart(spki)}`;

/** What a CA is called in URLs and on the feed: "device-1a2b3c4d". */
export const caId = (role: CaRole, spki: Buffer): string => `${role.replace(" CA", "")}-${keyPart(spki)}`;

const keyPart = (spki: Buffer): string => keyIdOf(spki).toString("hex").slice(0, 8);

/** Self-signed root for 20 years: PEM. No limit on its path, so that the next root can be cross-signed by it. */
export async function makeRoot(signer: Signer, now: number): Promise<string> {
  const name = caName("root", signer);
  const template = { subject: name, spki: signer.spki, now, notAfter: now + CA_LIFE_MS.root, names: [], uses: [], pathLength: null };
  return pemOf(await issueCertificate(createIssuer(name, signer), template));
}

/**
 * A root's name and key, signed by another root (RFC 4210 §4.4, "new with old" and "old with new"): who pinned one of them takes what
 * the other one signed. It ends with the older one. PEM.
 */
export async function makeCross(issuer: Issuer, of: Issuer, now: number, notAfter: number): Promise<string> {
  const template = { of, subject: of.name, spki: of.signer.spki, now, notAfter, names: [], uses: [], pathLength: null };
  return pemOf(await issueCertificate(issuer, template));
}

/** What a cross certificate is called on the feed and in files: "cross-1a2b3c4d". @param pem */
export const crossId = (pem: string): string => `cross-${hash("sha256", new X509Certificate(pem).raw).slice(0, 8)}`;

/** The facts of a CA's certificate, as Storage keeps them. @param pem */
export function issuedFacts(pem: string): Issued {
  const own = new X509Certificate(pem);
  return {
    pem,
    fingerprint: hash("sha256", own.raw),
    serial: own.serialNumber.toLowerCase(),
    issuer: issuerNameIn(pem),
    subject: commonNameIn(pem),
    notBefore: Date.parse(own.validFrom),
    notAfter: Date.parse(own.validTo),
  };
}

/**
 * The certificate of a CA below the root, signed by the root, for 10 years: PEM. No CA may follow below it.
 * @param subject its name in DER where it has one of its own
 */
export async function makeIntermediate(
  role: CaRole,
  root: Issuer,
  signer: Signer,
  now: number,
  subject: Buffer | null = null,
): Promise<string> {
  const notAfter = now + CA_LIFE_MS.intermediate;
  const named = subject ?? caName(role, signer);
  const template = { subject: named, spki: signer.spki, now, notAfter, names: [], uses: [], pathLength: 0 };
  return pemOf(await issueCertificate(root, template));
}

/**
 * A certificate for what is no CA.
 * @param bounds how long it is to last, and the issuer's own end: what outlives its issuer would end with it anyway, only without saying so
 */
export async function issue(
  issuer: Issuer,
  subject: string,
  template: Omit<CertificateTemplate, "pathLength" | "notAfter">,
  bounds: { readonly lifeMs: number; readonly end: number },
): Promise<Issued> {
  const notAfter = Math.min(template.now + bounds.lifeMs, bounds.end);
  const { der, ...facts } = await issueCertificate(issuer, { ...template, notAfter, pathLength: undefined });
  return { pem: encodePem("CERTIFICATE", der), fingerprint: hash("sha256", der), issuer: issuer.name, subject, ...facts };
}

export const pemOf = ({ der }: Certificate): string => encodePem("CERTIFICATE", der);
