/** DER (X.690) of what is put together from parts that are encoded already. Reading is another matter, and stands elsewhere. */

/** One value with that tag byte around what is encoded already. */
export function wrapped(tag: number, ...encoded: readonly Uint8Array[]): Buffer {
  const length = encoded.reduce((sum, bytes) => sum + bytes.length, 0);
  return Buffer.concat([Buffer.of(tag, ...lengthBytes(length)), ...encoded]);
}

/** SEQUENCE of what is encoded already: what was signed is not encoded a second time. */
export const sequenceOf = (...encoded: readonly Uint8Array[]): Buffer => wrapped(0x30, ...encoded);

/** SET of one value, or of values that stand in order (§11.6). */
export const setOf = (...encoded: readonly Uint8Array[]): Buffer => wrapped(0x31, ...encoded);

export const octetsOf = (bytes: Uint8Array): Buffer => wrapped(0x04, bytes);

/** [n] EXPLICIT, or IMPLICIT of a constructed type. */
export const taggedOf = (n: number, ...encoded: readonly Uint8Array[]): Buffer => wrapped(0xa0 | n, ...encoded);

export const NULL = Buffer.of(0x05, 0x00);

/** INTEGER of a whole number from 0 to 2^31 - 1. */
export function integerOf(value: number): Buffer {
  const bytes = bytesOf(value, 0x100);
  return wrapped(0x02, Buffer.of(...((bytes[0] ?? 0) < 0x80 ? bytes : [0, ...bytes])));
}

/** OBJECT IDENTIFIER (§8.19). */
export function oidOf(dotted: string): Buffer {
  const [first = 0, second = 0, ...arcs] = dotted.split(".").map(Number);
  const octets = [first * 40 + second, ...arcs].flatMap((arc) => {
    const digits = bytesOf(arc, 0x80);
    return digits.map((digit, index) => (index < digits.length - 1 ? digit | 0x80 : digit));
  });
  return wrapped(0x06, Buffer.of(...octets));
}

function lengthBytes(length: number): readonly number[] {
  if (length < 0x80) return [length];
  const bytes = bytesOf(length, 0x100);
  return [0x80 | bytes.length, ...bytes];
}

/** Digits of a whole number in that base, the highest first; one at least. */
function bytesOf(value: number, base: 0x80 | 0x100): number[] {
  const digits = [value % base];
  for (let rest = Math.floor(value / base); rest > 0; rest = Math.floor(rest / base)) digits.unshift(rest % base);
  return digits;
}
