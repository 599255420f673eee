import { randomBytes } from "node:crypto";
import { bitString, integer, sequence, tagged, time } from "../../lib/der.ts";
import { algorithmBytes } from "./algorithms.ts";
import {
  type AlternativeName,
  authorityKeyIdentifier,
  basicConstraints,
  crlDistributionPoint,
  type ExtendedUse,
  extendedKeyUsage,
  keyIdOf,
  keyIdOfRead,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from "./extensions.ts";
import { commonName, fitsCommonName } from "./name.ts";
import type { Signer } from "./signer.ts";

/** Clocks of those who check differ: a certificate is valid from a minute before it was made. */
export const BACKDATE_MS = 60_000;

/** Who signs: the CA's name and key, with what is repeated of them. */
export interface Issuer {
  readonly name: string;
  readonly signer: Signer;
  /** DER of what every certificate and list repeats. */
  readonly nameBytes: Buffer;
  readonly keyIdentifier: Buffer;
  readonly algorithm: Buffer;
  /** Its key's identifier, as its own certificate has it. */
  readonly keyId: Buffer;
}

export function createIssuer(name: string, signer: Signer): Issuer {
  const keyId = keyIdOf(signer.spki);
  return {
    name,
    signer,
    nameBytes: commonName(name),
    keyIdentifier: authorityKeyIdentifier(keyId),
    algorithm: algorithmBytes(signer.algorithm),
    keyId,
  };
}

export interface CertificateTemplate {
  /** A CA that has a certificate already, the issuer itself or another one: name and key identifier are as they stand there, whatever `subject` says. */
  readonly of?: Issuer;
  /** Common name, or a whole name in DER; null leaves the subject empty and makes the SAN critical. */
  readonly subject: string | Buffer | null;
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
  const { subject, pathLength, uses, names, crlUrl, of } = template;
  const body = sequence(
    VERSION_3,
    integer(serial),
    issuer.algorithm,
    issuer.nameBytes,
    sequence(time(notBefore), time(notAfter)),
    of?.nameBytes ?? (Buffer.isBuffer(subject) ? subject : commonName(subject)),
    template.spki,
    tagged(
      3,
      sequence(
        once(`${pathLength} ${uses.join()}`, () =>
          Buffer.concat([
            basicConstraints(pathLength),
            keyUsage(pathLength !== undefined),
            uses.length > 0 ? extendedKeyUsage(uses) : NONE,
          ]),
        ),
        names.length > 0 ? subjectAltName(names, !(Buffer.isBuffer(subject) || fitsCommonName(subject))) : NONE,
        subjectKeyIdentifier(of?.keyId ?? keyIdOfRead(template.spki)),
        issuer.keyIdentifier,
        crlUrl === undefined ? NONE : once(`crl ${crlUrl}`, () => crlDistributionPoint(crlUrl)),
      ),
    ),
  );
  const der = sequence(body, issuer.algorithm, bitString(await issuer.signer.sign(body)));
  return { der, serial: serial.toString("hex"), notBefore, notAfter };
}

const NONE = Buffer.alloc(0);
/** Parts that many certificates have in common. The oldest makes room: there are as many as CAs and uses. */
const MAX_PREPARED = 64;
const preparedParts = new Map<string, Buffer>();

function once(name: string, make: () => Buffer): Buffer {
  let part = preparedParts.get(name);
  if (part === undefined) {
    const [oldest] = preparedParts.keys();
    if (preparedParts.size >= MAX_PREPARED && oldest !== undefined) preparedParts.delete(oldest);
    part = make();
    preparedParts.set(name, part);
  }
  return part;
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
