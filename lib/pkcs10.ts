import { createPublicKey, type KeyObject, sign } from "node:crypto";
import { integerOf, oidOf, sequenceOf, taggedOf, wrapped } from "./der.ts";
import { encodePem } from "./pem.ts";

const BIT_STRING = 0x03;
const ECDSA_SHA256 = "1.2.840.10045.4.3.2";

/** A nameless request (RFC 2986) for a P-256 key, PEM: whoever signs it decides about names. */
export function requestFor(privateKey: KeyObject): string {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const info = sequenceOf(integerOf(0), sequenceOf(), spki, taggedOf(0));
  const signature = wrapped(BIT_STRING, Buffer.of(0), sign("sha256", info, privateKey));
  return encodePem("CERTIFICATE REQUEST", sequenceOf(info, sequenceOf(oidOf(ECDSA_SHA256)), signature));
}
