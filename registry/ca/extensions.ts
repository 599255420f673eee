import { hash } from "node:crypto";
import { isIP } from "node:net";
import { parsePrefix, prefixBytes } from "../../lib/ip.ts";
import {
  bitString,
  boolean,
  childrenOf,
  contentOf,
  decode,
  encode,
  integer,
  type Node,
  octetString,
  oid,
  sequence,
  TAG,
  tagged,
  taggedBytes,
} from "./der.ts";

/** Largest SubjectPublicKeyInfo, bytes: RSA-4096 has 550. */
const MAX_SPKI_BYTES = 2_048;

/** A name in a SubjectAltName (RFC 5280 §4.2.1.6). */
export type AlternativeName =
  | { readonly kind: "dns"; readonly value: string }
  | { readonly kind: "ip"; readonly value: string }
  | { readonly kind: "uri"; readonly value: string };

export type ExtendedUse = "serverAuth" | "clientAuth";

const USE: Readonly<Record<ExtendedUse, string>> = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" };

export function extension(id: string, critical: boolean, value: Node): Node {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(encode(value)));
}

/** @param pathLength CAs that may follow below; null leaves it open (the root); undefined is no CA at all */
export function basicConstraints(pathLength: number | null | undefined): Node {
  const ca = pathLength === undefined ? [] : [boolean(true)];
  const length = typeof pathLength === "number" ? [integer(Buffer.of(pathLength))] : [];
  return extension("2.5.29.19", true, sequence(...ca, ...length));
}

/** keyCertSign and cRLSign for a CA, digitalSignature for everything else (RFC 5280 §4.2.1.3: bits 5, 6 and 0). */
export const keyUsage = (ca: boolean): Node => (ca ? CA_USAGE : END_USAGE);
const CA_USAGE = extension("2.5.29.15", true, bitString(Buffer.of(0b0000_0110), 1));
const END_USAGE = extension("2.5.29.15", true, bitString(Buffer.of(0b1000_0000), 7));

export const extendedKeyUsage = (uses: readonly ExtendedUse[]): Node =>
  extension("2.5.29.37", false, sequence(...uses.map((use) => oid(USE[use]))));

/** @param critical true exactly when the subject is empty */
export function subjectAltName(names: readonly AlternativeName[], critical: boolean): Node {
  return extension("2.5.29.17", critical, sequence(...names.map(generalName)));
}

export const subjectKeyIdentifier = (keyId: Buffer): Node => extension("2.5.29.14", false, octetString(keyId));
/** One full name, a URI (RFC 5280 §4.2.1.13). */
export const crlDistributionPoint = (url: string): Node =>
  extension("2.5.29.31", false, sequence(sequence(tagged(0, tagged(0, taggedBytes(6, Buffer.from(url, "latin1")))))));
export const authorityKeyIdentifier = (keyId: Buffer): Node => extension("2.5.29.35", false, sequence(taggedBytes(0, keyId)));

/**
 * A SubjectPublicKeyInfo as a node, and the key's identifier by RFC 7093 §2 method 1: the first 160 bits of SHA-256 of the public
 * key's bits.
 */
export function readPublicKey(spki: Buffer): { readonly node: Node; readonly keyId: Buffer } {
  const node = decode(spki, MAX_SPKI_BYTES);
  const [, bits] = childrenOf(node, TAG.sequence);
  return { node, keyId: hash("sha256", contentOf(bits, TAG.bitString).subarray(1), "buffer").subarray(0, 20) };
}

function generalName(name: AlternativeName): Node {
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
