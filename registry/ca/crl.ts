import type { RevocationReason } from "../../lib/admin/api.ts";
import { bitString, enumerated, integer, sequence, TAG, tagged, time, tlv, writeTime } from "../../lib/der.ts";
import type { Issuer } from "./certificate.ts";
import { childrenOf, contentOf, DerError, decode, encode, oidOf } from "./der.ts";
import { extension } from "./extensions.ts";

/** CRLReason (RFC 5280 §5.3.1); `unspecified` is told by saying nothing. */
const CODES: Readonly<Record<RevocationReason, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
};

export interface Revoked {
  /** Lower-case hex of the number's bytes. */
  readonly serial: string;
  readonly revokedAt: number;
  readonly reason: RevocationReason;
}

const SEQUENCE = 0x30;
const VERSION_2 = integer(Buffer.of(1));
const extensions = new Map<RevocationReason, Buffer>();

/** The entryExtensions of a reason. */
function reasonExtension(reason: RevocationReason): Buffer {
  let bytes = extensions.get(reason);
  if (bytes === undefined) {
    bytes = reason === "unspecified" ? Buffer.alloc(0) : sequence(extension("2.5.29.21", false, enumerated(CODES[reason])));
    extensions.set(reason, bytes);
  }
  return bytes;
}

/** A serial of 16 bytes, a time and a reason: no length here needs a second byte. */
const MAX_ENTRY_BYTES = 64;

/**
 * Entries as they stand in a list, DER, one behind the other. A hundred thousand of them are written as bytes: a tree of nodes took ten
 * times as long, and memory of its own for each three times.
 */
export function crlEntries(revoked: readonly Revoked[]): Buffer {
  const bytes = Buffer.allocUnsafe(revoked.length * MAX_ENTRY_BYTES);
  let end = 0;
  for (const one of revoked) end = writeEntry(bytes, end, one);
  return bytes.subarray(0, end);
}

/** @returns where it ends */
function writeEntry(bytes: Buffer, start: number, { serial, revokedAt, reason }: Revoked): number {
  const number = start + 4;
  // A number whose first bit is set would be a negative one.
  const digits = serial.length % 2 === 0 ? serial : `0${serial}`;
  bytes[number] = 0;
  let at = number + (digits >= "8" ? 1 : 0);
  at += bytes.write(digits, at, "hex");
  bytes[start + 2] = TAG.integer;
  bytes[start + 3] = at - number;
  at = writeTime(bytes, at, revokedAt);
  at += reasonExtension(reason).copy(bytes, at);
  bytes[start] = SEQUENCE;
  bytes[start + 1] = at - start - 2;
  return at;
}

export interface CrlFacts {
  /** Higher than that of every list before it. */
  readonly number: number;
  /** Integer milliseconds; whole seconds are kept. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** CRL version 2 (RFC 5280 §5) with number and authority key identifier. @param entries from {@link crlEntries} */
export async function signCrl(issuer: Issuer, { number, thisUpdate, nextUpdate }: CrlFacts, entries: readonly Buffer[]): Promise<Buffer> {
  const listed = Buffer.concat(entries);
  const numberExtension = extension("2.5.29.20", false, integer(numberBytes(number)));
  const list = sequence(
    VERSION_2,
    issuer.algorithm,
    issuer.nameBytes,
    time(thisUpdate),
    time(nextUpdate),
    // RFC 5280 §5.1.2.6: no list at all rather than an empty one.
    ...(listed.length > 0 ? [tlv(SEQUENCE, listed)] : []),
    tagged(0, sequence(issuer.keyIdentifier, numberExtension)),
  );
  return sequence(list, issuer.algorithm, bitString(await issuer.signer.sign(list)));
}

function numberBytes(number: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}

/** Largest list that {@link readCrlFacts} takes: the root's, which names CAs alone. */
const MAX_READ_BYTES = 65_536;

/** Number and times of a list that was made here and kept in a file. @throws DerError */
export function readCrlFacts(der: Buffer): CrlFacts {
  const [list] = childrenOf(decode(der, MAX_READ_BYTES), TAG.sequence);
  return readCrlParts(childrenOf(list, TAG.sequence).map(encode));
}

/** As {@link readCrlFacts}, from the fields of the signed part, each in DER. @throws DerError also when it has a critical extension */
export function readCrlParts(fields: readonly Buffer[]): CrlFacts {
  const isExtensions = (bytes: Buffer): boolean => bytes[0] === EXTENSIONS;
  const [wrapper] = fields.filter(isExtensions).map((bytes) => decode(bytes, MAX_READ_BYTES));
  const all = childrenOf(typeof wrapper?.value === "string" ? undefined : wrapper?.value[0], TAG.sequence);
  const extensionsIn = all.map((one) => childrenOf(one, TAG.sequence));
  if (extensionsIn.some(({ length }) => length > 2)) throw new DerError("a critical extension");
  const found = extensionsIn.find(([id]) => oidOf(id) === "2.5.29.20");
  const number = contentOf(decode(contentOf(found?.[1], TAG.octetString), MAX_READ_BYTES), TAG.integer);
  const [thisUpdate, nextUpdate] = fields.slice(3, 5).map((bytes) => timeOf(decode(bytes, MAX_READ_BYTES)));
  if (number.length > MAX_NUMBER_BYTES || thisUpdate === undefined || nextUpdate === undefined) throw new DerError("number or times");
  return { number: Number(`0x${number.toString("hex")}`), thisUpdate, nextUpdate };
}

/** [0] EXPLICIT. */
const EXTENSIONS = 0xa0;
/** What fits into a number of JavaScript's: times in milliseconds do. */
const MAX_NUMBER_BYTES = 6;

function timeOf(node: Parameters<typeof contentOf>[0]): number {
  const utc = node?.type === TAG.utcTime;
  const text = contentOf(node, utc ? TAG.utcTime : TAG.generalizedTime).toString("latin1");
  // We write years until 2049 with two digits, so all of them are of this century.
  const [, year = "", ...rest] = /^(\d{4}|\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text) ?? [];
  const [month = 1, day = 1, hour = 0, minute = 0, second = 0] = rest.map(Number);
  return Date.UTC(utc ? 2000 + Number(year) : Number(year), month - 1, day, hour, minute, second);
}
