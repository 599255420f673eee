import { integerOf, oidOf, sequenceOf, setOf, taggedOf } from "./der.ts";

const DATA = oidOf("1.2.840.113549.1.7.1");
const SIGNED_DATA = oidOf("1.2.840.113549.1.7.2");

/** Certificates and nothing else, as degenerate SignedData of PKCS #7: nobody signed, nothing is in it (RFC 5652 §5.1, RFC 8551 §3.8). */
export const certsOnly = (certificates: readonly Uint8Array[]): Buffer =>
  sequenceOf(SIGNED_DATA, taggedOf(0, sequenceOf(integerOf(1), setOf(), sequenceOf(DATA), taggedOf(0, ...certificates), setOf())));
