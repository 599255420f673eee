import { integerOf, oid, sequence, set, tagged } from "./der.ts";

const DATA = oid("1.2.840.113549.1.7.1");
const SIGNED_DATA = oid("1.2.840.113549.1.7.2");

/** Certificates and nothing else, as degenerate SignedData of PKCS #7: nobody signed, nothing is in it (RFC 5652 §5.1, RFC 8551 §3.8). */
export const certsOnly = (certificates: readonly Uint8Array[]): Buffer =>
  sequence(SIGNED_DATA, tagged(0, sequence(integerOf(1), set(), sequence(DATA), tagged(0, ...certificates), set())));
