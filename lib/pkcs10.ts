import { createPublicKey, type KeyObject, sign } from "node:crypto";
import { bitString, integerOf, oid, sequence, tagged } from "./der.ts";
import { encodePem } from "./pem.ts";

const ECDSA_SHA256 = "1.2.840.10045.4.3.2";

/** A nameless request (RFC 2986) for a P-256 key, PEM: whoever signs it decides about names. */
export function requestFor(privateKey: KeyObject): string {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const info = sequence(integerOf(0), sequence(), spki, tagged(0));
  const signature = bitString(sign("sha256", info, privateKey));
  return encodePem("CERTIFICATE REQUEST", sequence(info, sequence(oid(ECDSA_SHA256)), signature));
}
