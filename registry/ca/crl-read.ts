import { createPublicKey, verify } from "node:crypto";
import { TAG } from "../../lib/der.ts";
import { SIGNATURES } from "./algorithms.ts";
import { type CrlFacts, readCrlParts } from "./crl.ts";
import { childrenOf, DerError, decode, oidOf } from "./der.ts";

/** Where values stand in DER: so a list of a hundred thousand entries is walked over, not taken apart. */
function* valuesIn(
  der: Buffer,
  begin: number,
  end: number,
): Generator<{ readonly from: number; readonly content: number; readonly to: number }> {
  for (let at = begin; at < end; ) {
    const first = der[at + 1] ?? 0x80;
    const octets = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || octets > 4 || at + 2 + octets > end) throw new DerError("no length");
    const content = at + 2 + octets;
    const to = content + (octets === 0 ? first : der.readUIntBE(at + 2, octets));
    if (to > end) throw new DerError("longer than what is there");
    yield { from: at, content, to };
    at = to;
  }
}

const MAX_ALGORITHM_BYTES = 64;
const BIT_STRING_UNUSED = 1;

/**
 * Reads a list that somebody else made, and believes it only with the CA's signature below it.
 * @param spki of the CA, DER
 * @throws DerError when it cannot be read, is signed by another key, or has a critical extension (a partition of a list has)
 */
export function readSignedCrl(der: Buffer, spki: Buffer): CrlFacts {
  const [whole, ...more] = valuesIn(der, 0, der.length);
  if (whole === undefined || more.length > 0) throw new DerError("not one value");
  const [list, algorithm, signature] = valuesIn(der, whole.content, whole.to);
  if (list === undefined || algorithm === undefined || signature === undefined) throw new DerError("not a list");
  const [id] = childrenOf(decode(der.subarray(algorithm.from, algorithm.to), MAX_ALGORITHM_BYTES), TAG.sequence);
  const known = SIGNATURES.find(({ oid }) => oid === oidOf(id));
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  const bits = der.subarray(signature.content + BIT_STRING_UNUSED, signature.to);
  if (known === undefined || !verify(known.hash, der.subarray(list.from, list.to), key, bits)) throw new DerError("not signed by this CA");
  const fields = [...valuesIn(der, list.content, list.to)].map(({ from, to }) => der.subarray(from, to));
  return readCrlParts(fields);
}
