import { TrustBodyError } from "./entries.ts";

const SEQUENCE = 0x30;
const INTEGER = 0x02;
/** A long form of more bytes says more than a CRL may have (DER, X.690 §8.1.3). */
const MAX_LENGTH_BYTES = 4;

interface Value {
  readonly tag: number;
  readonly body: Buffer;
}

/** A serial as it is compared: hexadecimal in lower case without leading zeros. */
export const plainSerial = (hex: string): string => hex.toLowerCase().replace(/^0+(?=.)/, "");

/**
 * Serials that a CRL takes back (RFC 5280 §5.1). Its signature is OpenSSL's to check: a list that lies can only shut out.
 * @throws TrustBodyError when it is no CRL
 */
export function revokedSerials(der: Buffer): Set<string> {
  const [list] = valuesIn(der);
  const [tbs] = valuesIn(bodyOf(list, SEQUENCE));
  const fields = valuesIn(bodyOf(tbs, SEQUENCE));
  // Version if any, algorithm, issuer, one time or two; what comes next in a SEQUENCE is the list.
  const from = fields[0]?.tag === INTEGER ? 3 : 2;
  const revoked = fields.slice(from).find(({ tag }) => tag === SEQUENCE);
  const entries = revoked === undefined ? [] : valuesIn(revoked.body);
  return new Set(entries.map((entry) => plainSerial(bodyOf(valuesIn(bodyOf(entry, SEQUENCE))[0], INTEGER).toString("hex"))));
}

function bodyOf(value: Value | undefined, tag: number): Buffer {
  if (value?.tag !== tag) throw new TrustBodyError("a CRL has another form than RFC 5280 gives it");
  return value.body;
}

function valuesIn(bytes: Buffer): Value[] {
  const values: Value[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag = 0, first = 0] = bytes.subarray(at, at + 2);
    const more = first < 0x80 ? 0 : first - 0x80;
    const start = at + 2 + more;
    if (first === 0x80 || more > MAX_LENGTH_BYTES || start > bytes.length) throw new TrustBodyError("a CRL is cut off, or no DER");
    const length = more === 0 ? first : bytes.readUIntBE(at + 2, more);
    if (start + length > bytes.length) throw new TrustBodyError("a CRL is cut off, or no DER");
    values.push({ tag, body: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return values;
}
