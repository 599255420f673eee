import { randomBytes } from "node:crypto";
import { sequenceOf } from "../../lib/der.ts";
import { algorithmNode } from "./algorithms.ts";
import { bitString, encode, integer, type Node, sequence, tagged, time } from "./der.ts";
import {
  type AlternativeName,
  authorityKeyIdentifier,
  basicConstraints,
  crlDistributionPoint,
  type ExtendedUse,
  extendedKeyUsage,
  keyUsage,
  readPublicKey,
  subjectAltName,
  subjectKeyIdentifier,
} from "./extensions.ts";
import { commonName, fitsCommonName } from "./name.ts";
import type { Signer } from "./signer.ts";

/** Clocks of those who check differ: a certificate is valid from a minute before it was made. */
const BACKDATE_MS = 60_000;

/** Who signs: the CA's name and key, with what every certificate repeats of them. */
export interface Issuer {
  readonly name: string;
  readonly signer: Signer;
  readonly nameNode: Node;
  readonly keyIdentifier: Node;
  readonly algorithm: Node;
}

export function createIssuer(name: string, signer: Signer): Issuer {
  const { keyId } = readPublicKey(signer.spki);
  return {
    name,
    signer,
    nameNode: commonName(name),
    keyIdentifier: authorityKeyIdentifier(keyId),
    algorithm: algorithmNode(signer.algorithm),
  };
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
  /** Where its CRL is to be had; left out, none is named. */
  readonly crlUrl?: string;
  /** As in {@link basicConstraints}: undefined for what is no CA. */
  readonly pathLength: number | null | undefined;
}

/** A certificate that was made: DER, and what is in it. Times are integer milliseconds, whole seconds. */
export interface Certificate {
  readonly der: Buffer;
  /** Lower-case hex of the number's bytes. */
  readonly serial: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** X.509 version 3 certificate (RFC 5280) with a random 128-bit serial. */
export async function issueCertificate(issuer: Issuer, template: CertificateTemplate): Promise<Certificate> {
  const serial = randomSerial();
  const [notBefore, notAfter] = [wholeSeconds(template.now - BACKDATE_MS), wholeSeconds(template.notAfter)];
  const { node: spki, keyId } = readPublicKey(template.spki);
  const extensions = [
    basicConstraints(template.pathLength),
    keyUsage(template.pathLength !== undefined),
    ...(template.uses.length > 0 ? [extendedKeyUsage(template.uses)] : []),
    ...(template.names.length > 0 ? [subjectAltName(template.names, !fitsCommonName(template.subject))] : []),
    subjectKeyIdentifier(keyId),
    issuer.keyIdentifier,
    ...(template.crlUrl === undefined ? [] : [crlDistributionPoint(template.crlUrl)]),
  ];
  const body = encode(
    sequence(
      VERSION_3,
      integer(serial),
      issuer.algorithm,
      issuer.nameNode,
      sequence(time(new Date(notBefore)), time(new Date(notAfter))),
      commonName(template.subject),
      spki,
      tagged(3, sequence(...extensions)),
    ),
  );
  const signature = encode(bitString(await issuer.signer.sign(body)));
  const der = sequenceOf(body, encode(issuer.algorithm), signature);
  return { der, serial: serial.toString("hex"), notBefore, notAfter };
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1_000) * 1_000;

const VERSION_3 = tagged(0, integer(Buffer.of(2)));
const SERIAL_BYTES = 16;
/** Asking the system for random bytes costs more than what a serial needs of them. */
const pool = { bytes: Buffer.alloc(0), at: 0 };

/** 128 random bits, as DER and OpenSSL have a number: without the zeros that it may begin with. */
function randomSerial(): Buffer {
  if (pool.at === pool.bytes.length) {
    pool.bytes = randomBytes(256 * SERIAL_BYTES);
    pool.at = 0;
  }
  const bytes = pool.bytes.subarray(pool.at, pool.at + SERIAL_BYTES);
  pool.at += SERIAL_BYTES;
  const start = bytes.findIndex((byte) => byte !== 0);
  return start < 0 ? Buffer.of(1) : bytes.subarray(start);
}
