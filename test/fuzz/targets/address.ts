import { isIP } from "node:net";
import fc from "fast-check";
import { contains, parsePrefix, prefixBytes, prefixOf } from "../../../lib/ip.ts";
import { assertOrdinary } from "../../../registry/rules/special.ts";
import { fuzz, hostileText, mutated, valueOrRefusal } from "../target.ts";

export const name = "address";

const ALPHABET = "0123456789abcdefABCDEF:./%x";
const sound = fc.oneof(
  fc.tuple(fc.ipV4(), fc.option(fc.nat({ max: 40 }))).map(([address, length]) => (length === null ? address : `${address}/${length}`)),
  fc.tuple(fc.ipV6(), fc.option(fc.nat({ max: 140 }))).map(([address, length]) => (length === null ? address : `${address}/${length}`)),
  fc.tuple(fc.ipV4(), fc.nat({ max: 140 })).map(([address, length]) => `::ffff:${address}/${length}`),
  fc.constantFrom("::/0", "0.0.0.0/0", "::ffff:0:0/96", "64:ff9b::1.2.3.4", "2001:db8::/32"),
);

/** A prefix that is read has one canonical text, no host bits, and as many addresses as were written: it is never widened. */
export function run(seed: number, count: number): void {
  fuzz(fc.oneof(hostileText(ALPHABET, 64), mutated(sound, ALPHABET), sound), seed, count, (text) => {
    const prefix = valueOrRefusal(() => parsePrefix(text));
    if (prefix === null) return;
    const again = parsePrefix(prefix.text);
    if (again.text !== prefix.text || again.length !== prefix.length) throw new Error(`${prefix.text} reads as ${again.text}`);
    if (isIP(prefix.address) !== prefix.family || prefix.address.includes("%")) throw new Error(`${prefix.address} is no address`);
    const [, written] = text.split("/");
    const mapped = prefix.family === 4 && text.includes(":");
    const width = prefix.family === 4 ? 32 : 128;
    const asked = written === undefined ? width : Number(written) - (mapped ? 96 : 0);
    if (prefix.length !== asked) throw new Error(`/${written} became /${prefix.length}`);
    if (prefixOf(prefix.family, prefix.address, prefix.length).text !== prefix.text) throw new Error("host bits");
    if (prefixBytes(prefix).length * 8 !== width || !contains(prefix, again)) throw new Error("bytes");
    valueOrRefusal(() => assertOrdinary(prefix, []));
  });
}
