import type { KeyObject } from "node:crypto";
import { bitString, integer, NULL, oid, sequence } from "../../lib/der.ts";

/** Kinds of keys that a certificate may be made for (DESIGN.md §6). */
export const KEY_KINDS = ["P-256", "P-384", "Ed25519", "RSA"] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

const RSA_BITS = { min: 2048, max: 4096 };

/**
 * @returns null for a key of another kind, and for a known kind in a form that relying parties disagree on: explicit curve
 * parameters, compressed points, RSA exponents other than 65537 (RFC 5480 §2.1.1, RFC 8301 §3.2), RSA keys in any but their one DER form
 */
export function keyKindOf(spki: Buffer, key: KeyObject): KeyKind | null {
  if (key.asymmetricKeyType === "rsa") {
    const { modulusLength: bits = 0, publicExponent } = key.asymmetricKeyDetails ?? {};
    return bits >= RSA_BITS.min && bits <= RSA_BITS.max && publicExponent === 65537n && spki.equals(plainRsa(key)) ? "RSA" : null;
  }
  const plain = PLAIN_FORMS.find(({ head, bytes }) => spki.length === head.length + bytes && spki.subarray(0, head.length).equals(head));
  return plain?.kind ?? null;
}

/** OpenSSL reads negative numbers, padding, any parameters and what stands behind the key: none of that may get into a certificate. */
function plainRsa(key: KeyObject): Buffer {
  const { n = "", e = "" } = key.export({ format: "jwk" });
  const numbers = [n, e].map((number) => integer(Buffer.from(number, "base64url")));
  return sequence(RSA_KEY, bitString(sequence(...numbers)));
}

const RSA_KEY = sequence(oid("1.2.840.113549.1.1.1"), NULL);

/** What stands before the point, or the key, in the one form that all read alike: named curve, uncompressed point (RFC 5480 §2, RFC 8410 §4). */
const PLAIN_FORMS = (
  [
    ["P-256", "3059301306072a8648ce3d020106082a8648ce3d03010703420004", 64],
    ["P-384", "3076301006072a8648ce3d020106052b8104002203620004", 96],
    ["Ed25519", "302a300506032b6570032100", 32],
  ] as const
).map(([kind, head, bytes]) => ({ kind, head: Buffer.from(head, "hex"), bytes }));

/** An algorithm that signs: its OID in X.509, its digest for node:crypto (null: the key's own), and the kinds of keys it is for. */
export interface SignatureAlgorithm {
  readonly oid: string;
  readonly hash: "sha256" | "sha384" | "sha512" | null;
  readonly keys: readonly KeyKind[];
  /** RFC 4055 §5 wants NULL parameters, RFC 5758 §3.2 and RFC 8410 §3 want none. */
  readonly nullParameters: boolean;
}

const EC: readonly KeyKind[] = ["P-256", "P-384"];
const ECDSA_SHA256: SignatureAlgorithm = { oid: "1.2.840.10045.4.3.2", hash: "sha256", keys: EC, nullParameters: false };
const ECDSA_SHA384: SignatureAlgorithm = { oid: "1.2.840.10045.4.3.3", hash: "sha384", keys: EC, nullParameters: false };
const ED25519: SignatureAlgorithm = { oid: "1.3.101.112", hash: null, keys: ["Ed25519"], nullParameters: false };

const RSA_SHA256: SignatureAlgorithm = { oid: "1.2.840.113549.1.1.11", hash: "sha256", keys: ["RSA"], nullParameters: true };

/** What is accepted below a CSR. The hash is not tied to the curve: OpenSSL signs P-384 requests with SHA-256. */
export const SIGNATURES: readonly SignatureAlgorithm[] = [
  ECDSA_SHA256,
  ECDSA_SHA384,
  { oid: "1.2.840.10045.4.3.4", hash: "sha512", keys: EC, nullParameters: false },
  ED25519,
  RSA_SHA256,
  { oid: "1.2.840.113549.1.1.12", hash: "sha384", keys: ["RSA"], nullParameters: true },
  { oid: "1.2.840.113549.1.1.13", hash: "sha512", keys: ["RSA"], nullParameters: true },
];

/** What a key that is ours signs with. CAs are of elliptic curves alone; RSA signs requests. */
export const OWN_SIGNATURE: Readonly<Record<KeyKind, SignatureAlgorithm>> = {
  "P-256": ECDSA_SHA256,
  "P-384": ECDSA_SHA384,
  Ed25519: ED25519,
  RSA: RSA_SHA256,
};

/** AlgorithmIdentifier. */
export const algorithmBytes = ({ oid: id, nullParameters }: SignatureAlgorithm): Buffer =>
  sequence(oid(id), ...(nullParameters ? [NULL] : []));
