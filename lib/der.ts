/** DER out (X.690), as bytes from the start: a tree of nodes for each certificate took longer than its signature. Reading stands elsewhere. */

/** Universal tags (X.680 §8.6). */
export const TAG = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  enumerated: 10,
  utf8String: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

const CONSTRUCTED = 0x20;
const CONTEXT = 0x80;

/** One value: tag, length in its shortest form, content. */
export function tlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of content) length += part.length;
  const head = length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x1_0000 ? 4 : length < 0x100_0000 ? 5 : 6;
  const bytes = Buffer.allocUnsafe(head + length);
  bytes[0] = tag;
  if (head === 2) bytes[1] = length;
  else {
    bytes[1] = 0x80 | (head - 2);
    bytes.writeUIntBE(length, 2, head - 2);
  }
  let at = head;
  for (const part of content) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** SEQUENCE of what is encoded already: what was signed is not encoded a second time. */
export const sequence = (...content: readonly Uint8Array[]): Buffer => tlv(TAG.sequence | CONSTRUCTED, ...content);
/** SET of one value, or of values that stand in order (§11.6). */
export const set = (...content: readonly Uint8Array[]): Buffer => tlv(TAG.set | CONSTRUCTED, ...content);
/** [n] EXPLICIT, or IMPLICIT of a constructed type. */
export const tagged = (n: number, ...content: readonly Uint8Array[]): Buffer => tlv(CONTEXT | CONSTRUCTED | n, ...content);
/** [n] IMPLICIT of a primitive type. */
export const taggedBytes = (n: number, bytes: Uint8Array): Buffer => tlv(CONTEXT | n, bytes);

const oids = new Map<string, Buffer>();
/** OBJECT IDENTIFIER (§8.19); only constants come here, so each is made once. */
export function oid(dotted: string): Buffer {
  let bytes = oids.get(dotted);
  if (bytes === undefined) {
    bytes = tlv(TAG.oid, Buffer.of(...octetsOf(dotted)));
    oids.set(dotted, bytes);
  }
  return bytes;
}

function octetsOf(dotted: string): number[] {
  const [first = 0, second = 0, ...arcs] = dotted.split(".").map(Number);
  return [first * 40 + second, ...arcs].flatMap((arc) => {
    const digits = digitsOf(arc, 0x80);
    return digits.map((digit, index) => (index < digits.length - 1 ? digit | 0x80 : digit));
  });
}

/** Digits of a whole number in that base, the highest first; one at least. */
function digitsOf(value: number, base: 0x80 | 0x100): number[] {
  const digits = [value % base];
  for (let rest = Math.floor(value / base); rest > 0; rest = Math.floor(rest / base)) digits.unshift(rest % base);
  return digits;
}

export const NULL = Buffer.of(TAG.null, 0);
export const boolean = (value: boolean): Buffer => tlv(TAG.boolean, Buffer.of(value ? 0xff : 0));
export const octetString = (bytes: Uint8Array): Buffer => tlv(TAG.octetString, bytes);
export const utf8String = (text: string): Buffer => tlv(TAG.utf8String, Buffer.from(text));
/** ENUMERATED of a number below 128. */
export const enumerated = (value: number): Buffer => tlv(TAG.enumerated, Buffer.of(value));
/** BIT STRING of whole bytes, or of all but the last `unused` bits. */
export const bitString = (bytes: Uint8Array, unused = 0): Buffer => tlv(TAG.bitString, UNUSED[unused] ?? Buffer.of(unused), bytes);
/** Made once: what has memory of its own costs more than it holds. */
const UNUSED = Array.from({ length: 8 }, (_, bits) => Buffer.of(bits));

const ZERO = Buffer.of(0);

/** INTEGER of an unsigned big-endian number, in its shortest form. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const value = bytes.subarray(start);
  return (value[0] ?? 0) >= 0x80 ? tlv(TAG.integer, ZERO, value) : tlv(TAG.integer, value);
}

/** INTEGER of a whole number from 0 to 2^31 - 1. */
export const integerOf = (value: number): Buffer => integer(Buffer.of(...digitsOf(value, 0x100)));

/** Time as RFC 5280 §4.1.2.5 wants it: UTCTime to 2049, GeneralizedTime from then on; whole seconds. @param ms since 1970 */
export function time(ms: number): Buffer {
  const bytes = Buffer.allocUnsafe(TIME_BYTES);
  return bytes.subarray(0, writeTime(bytes, 0, ms));
}

/** The longest time. */
const TIME_BYTES = 17;

/** Writes a time into bytes that are there. @returns where it ends */
export function writeTime(bytes: Buffer, start: number, ms: number): number {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  bytes[start] = year < 2050 ? TAG.utcTime : TAG.generalizedTime;
  bytes[start + 1] = year < 2050 ? 13 : 15;
  let at = start + 2;
  if (year >= 2050) at = twoDigits(bytes, at, Math.floor(year / 100));
  at = twoDigits(bytes, at, year % 100);
  at = twoDigits(bytes, at, date.getUTCMonth() + 1);
  at = twoDigits(bytes, at, date.getUTCDate());
  at = twoDigits(bytes, at, date.getUTCHours());
  at = twoDigits(bytes, at, date.getUTCMinutes());
  at = twoDigits(bytes, at, date.getUTCSeconds());
  bytes[at] = 0x5a;
  return at + 1;
}

function twoDigits(bytes: Buffer, at: number, value: number): number {
  bytes[at] = 0x30 + Math.floor(value / 10);
  bytes[at + 1] = 0x30 + (value % 10);
  return at + 2;
}
