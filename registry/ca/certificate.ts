import { randomBytes } from "node:crypto";
import { algorithmNode } from "./algorithms.ts";
import { bitString, decode, encode, integer, sequence, tagged, time } from "./der.ts";
import {
  type AlternativeName,
  authorityKeyIdentifier,
  basicConstraints,
  type ExtendedUse,
  extendedKeyUsage,
  keyIdOf,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from "./extensions.ts";
import { commonName, fitsCommonName } from "./name.ts";
import type { Signer } from "./signer.ts";

/** Clocks of those who check differ: a certificate is valid from a minute before it was made. */
const BACKDATE_MS = 60_000;
/** Largest SubjectPublicKeyInfo, bytes: RSA-4096 has 550. */
const MAX_SPKI_BYTES = 2_048;

/** Who signs: the CA's name and its key. */
export interface Issuer {
  readonly name: string;
  readonly signer: Signer;
}

export interface CertificateTemplate {
  /** Common name; null leaves the subject empty and makes the SAN critical. */
  readonly subject: string | null;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  /** When it is made and until when it lasts, integer milliseconds; whole seconds are kept. */
  readonly now: number;
  readonly notAfter: number;
  readonly names: readonly AlternativeName[];
  readonly uses: readonly ExtendedUse[];
  /** As in {@link basicConstraints}: undefined for what is no CA. */
  readonly pathLength: number | null | undefined;
}

/** X.509 version 3 certificate (RFC 5280) with a random 128-bit serial: DER. */
export async function issueCertificate(issuer: Issuer, template: CertificateTemplate): Promise<Buffer> {
  const { algorithm } = issuer.signer;
  const ca = template.pathLength !== undefined;
  const extensions = [
    basicConstraints(template.pathLength),
    keyUsage(ca),
    ...(template.uses.length > 0 ? [extendedKeyUsage(template.uses)] : []),
    ...(template.names.length > 0 ? [subjectAltName(template.names, !fitsCommonName(template.subject))] : []),
    subjectKeyIdentifier(keyIdOf(template.spki)),
    authorityKeyIdentifier(keyIdOf(issuer.signer.spki)),
  ];
  const body = sequence(
    tagged(0, integer(Buffer.of(2))),
    integer(randomBytes(16)),
    algorithmNode(algorithm),
    commonName(issuer.name),
    sequence(time(new Date(template.now - BACKDATE_MS)), time(new Date(template.notAfter))),
    commonName(template.subject),
    decode(template.spki, MAX_SPKI_BYTES),
    tagged(3, sequence(...extensions)),
  );
  return encode(sequence(body, algorithmNode(algorithm), bitString(await issuer.signer.sign(encode(body)))));
}
