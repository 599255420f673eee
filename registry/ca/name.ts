/** ub-common-name of RFC 5280 appendix A.1, in characters. */
const MAX_COMMON_NAME = 64;

/** A distinguished name of one common name; null, or one longer than 64 characters, gives the empty name (the SAN then says it all). */
export function commonName(name: string | null): Buffer {
  if (!fitsCommonName(name)) return sequence();
  return sequence(set(sequence(oid("2.5.4.3"), utf8String(name))));
}

/** True when {@link commonName} of it is not empty. */
export const fitsCommonName = (name: string | null): name is string =>
  name !== null && name !== "" && (name.length <= MAX_COMMON_NAME || [...name].length <= MAX_COMMON_NAME);

import { oid, sequence, set, utf8String } from "../../lib/der.ts";
