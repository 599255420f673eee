import { hash } from "node:crypto";
import { isIP } from "node:net";
import { bitString, boolean, integer, octetString, oid, sequence, TAG, tagged, taggedBytes } from "../../lib/der.ts";
import { parsePrefix, prefixBytes } from "../../lib/ip.ts";
import { childrenOf, contentOf, DerError, decode } from "./der.ts";

/** Largest SubjectPublicKeyInfo, bytes: RSA-4096 has 550. */
const MAX_SPKI_BYTES = 2_048;

/** A name in a SubjectAltName (RFC 5280 §4.2.1.6). */
export type AlternativeName =
  | { readonly kind: "dns"; readonly value: string }
  | { readonly kind: "ip"; readonly value: string }
  | { readonly kind: "uri"; readonly value: string };

export type ExtendedUse = "serverAuth" | "clientAuth";

const USE: Readonly<Record<ExtendedUse, string>> = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" };

export function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return critical ? sequence(oid(id), TRUE, octetString(value)) : sequence(oid(id), octetString(value));
}
const TRUE = boolean(true);

/** @param pathLength CAs that may follow below; null leaves it open (the root); undefined is no CA at all */
export function basicConstraints(pathLength: number | null | undefined): Buffer {
  const ca = pathLength === undefined ? [] : [boolean(true)];
  const length = typeof pathLength === "number" ? [integer(Buffer.of(pathLength))] : [];
  return extension("2.5.29.19", true, sequence(...ca, ...length));
}

/** keyCertSign and cRLSign for a CA, digitalSignature for everything else (RFC 5280 §4.2.1.3: bits 5, 6 and 0). */
export const keyUsage = (ca: boolean): Buffer => (ca ? CA_USAGE : END_USAGE);
const CA_USAGE = extension("2.5.29.15", true, bitString(Buffer.of(0b0000_0110), 1));
const END_USAGE = extension("2.5.29.15", true, bitString(Buffer.of(0b1000_0000), 7));

export const extendedKeyUsage = (uses: readonly ExtendedUse[]): Buffer =>
  extension("2.5.29.37", false, sequence(...uses.map((use) => oid(USE[use]))));

/** @param critical true exactly when the subject is empty */
export function subjectAltName(names: readonly AlternativeName[], critical: boolean): Buffer {
  return extension("2.5.29.17", critical, sequence(...names.map(generalName)));
}

export const subjectKeyIdentifier = (keyId: Buffer): Buffer => extension("2.5.29.14", false, octetString(keyId));
/** One full name, a URI (RFC 5280 §4.2.1.13). */
export const crlDistributionPoint = (url: string): Buffer =>
  extension("2.5.29.31", false, sequence(sequence(tagged(0, tagged(0, taggedBytes(6, Buffer.from(url, "latin1")))))));
export const authorityKeyIdentifier = (keyId: Buffer): Buffer => extension("2.5.29.35", false, sequence(taggedBytes(0, keyId)));

/**
 * A key's identifier by RFC 7093 §2 method 1: the first 160 bits of SHA-256 of the public key's bits.
 * @param spki SubjectPublicKeyInfo, DER
 * @throws DerError when it is none
 */
export function keyIdOf(spki: Buffer): Buffer {
  const [, bits] = childrenOf(decode(spki, MAX_SPKI_BYTES), TAG.sequence);
  return keyIdOfBits(contentOf(bits, TAG.bitString).subarray(1));
}

/** As {@link keyIdOf}, for what was read before: its outside alone is walked through. @throws DerError */
export function keyIdOfRead(spki: Buffer): Buffer {
  const [algorithm] = insideOf(spki, 0);
  const [, afterAlgorithm] = insideOf(spki, algorithm);
  const [bits, end] = insideOf(spki, afterAlgorithm);
  if (end !== spki.length || spki[afterAlgorithm] !== TAG.bitString) throw new DerError("no SubjectPublicKeyInfo");
  return keyIdOfBits(spki.subarray(bits + 1, end));
}

const keyIdOfBits = (bits: Buffer): Buffer => hash("sha256", bits, "buffer").subarray(0, 20);

/** Where the content of the value at `at` begins and ends. */
function insideOf(bytes: Buffer, at: number): readonly [begin: number, end: number] {
  const first = bytes[at + 1] ?? 0x80;
  const octets = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || octets > 2 || at + 2 + octets > bytes.length) throw new DerError("no length");
  const length = octets === 0 ? first : bytes.readUIntBE(at + 2, octets);
  const begin = at + 2 + octets;
  if (begin + length > bytes.length) throw new DerError("longer than what is there");
  return [begin, begin + length];
}

export function generalName(name: AlternativeName): Buffer {
  switch (name.kind) {
    case "dns":
      return taggedBytes(2, Buffer.from(name.value, "latin1"));
    case "uri":
      return taggedBytes(6, Buffer.from(name.value, "latin1"));
    case "ip":
      return taggedBytes(7, prefixBytes(parsePrefix(name.value)));
    default:
      return name satisfies never;
  }
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?$/;

/**
 * A server's name or address as it goes into a SAN.
 * @returns null when it is neither an address nor a host name in lower-case ASCII (a whole first label may be "*")
 */
export function serverName(text: string): AlternativeName | null {
  if (isIP(text) !== 0 && !text.includes("%")) return { kind: "ip", value: parsePrefix(text).address };
  const labels = text.replace(/^\*\.(?=[^.]+\.)/, "").split(".");
  return text.length <= 253 && labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? "")
    ? { kind: "dns", value: text }
    : null;
}

/** True when a certificate for `pattern` is good for `name` (RFC 6125 §6.4.3: "*" stands for one whole first label). */
export function coversName(pattern: string, name: string): boolean {
  const [asked, ours] = [serverName(pattern)?.value ?? pattern, serverName(name)?.value ?? name];
  return asked === ours || (asked.startsWith("*.") && ours.slice(ours.indexOf(".")) === asked.slice(1));
}
