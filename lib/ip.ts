import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { Problem } from "./problem.ts";

/** An address block in canonical form. `text` is "203.0.113.7/32" or "2001:db8::/64"; host bits are zero. */
export interface Prefix {
  readonly family: 4 | 6;
  readonly address: string;
  readonly length: number;
  readonly text: string;
}

/** A dotted form, alone or behind a colon, with a part that has more digits after a leading zero. */
const OCTAL = /^(?:[\da-f:]*:)?(?=\d+(?:\.\d+){3}$)(?:\d+\.)*0\d+(?:\.\d+)*$/i;

const WIDTH = { 4: 32, 6: 128 } as const;

/**
 * Canonical text of one address: IPv4 dotted decimal, IPv6 as RFC 5952 §4, IPv4-mapped IPv6 as IPv4.
 * Refuses what parsers disagree on: octal and short IPv4 forms, zone ids, IPv4-compatible IPv6 (`::1.2.3.4`).
 * @throws Problem address_invalid | address_octal | address_zone
 */
export function parseAddress(text: string): { family: 4 | 6; address: string } {
  if (isIPv4(text)) return { family: 4, address: text };
  if (text.includes("%"))
    throw new Problem(422, "address_zone", "An address cannot carry a zone (the part after %): send the address alone.");
  if (OCTAL.test(text))
    throw new Problem(
      422,
      "address_octal",
      "A part begins with 0, which some programs read as octal: write each part in decimal without it.",
    );
  if (!isIPv6(text)) {
    throw new Problem(422, "address_invalid", "Not an IPv4 or IPv6 address in its usual form, such as 203.0.113.7 or 2001:db8::7.");
  }
  if (text.includes(".") && !/^(::|(0{1,4}:){5})ffff:[\d.]+$/i.test(text)) {
    throw new Problem(422, "address_invalid", "An IPv6 address that ends in dotted form must be IPv4-mapped, such as ::ffff:203.0.113.7.");
  }
  const parsed = ipaddr.IPv6.parse(text);
  if (parsed.isIPv4MappedAddress()) return { family: 4, address: parsed.toIPv4Address().toString() };
  return { family: 6, address: parsed.toRFC5952String() };
}

/**
 * Canonical form of "ADDRESS" or "ADDRESS/LENGTH". Never widens or cuts: set host bits are an error.
 * @throws Problem address_invalid | address_octal | address_zone | prefix_length | prefix_host_bits
 */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf("/");
  const { family, address } = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const mapped = family === 4 && text.includes(":");
  const width = WIDTH[family];
  let length: number = width;
  if (slash >= 0) {
    const digits = text.slice(slash + 1);
    const max = mapped ? 128 : width;
    if (!/^(0|[1-9]\d{0,2})$/.test(digits) || Number(digits) > max || (mapped && Number(digits) < 96)) {
      throw new Problem(422, "prefix_length", `A prefix length here is a whole number from ${mapped ? 96 : 0} to ${max}.`);
    }
    length = mapped ? Number(digits) - 96 : Number(digits);
  }
  const network = networkOf(family, address, length);
  if (network !== address) {
    throw new Problem(422, "prefix_host_bits", `The prefix has host bits set: did you mean ${network}/${length}?`);
  }
  return prefix(family, address, length);
}

/** The block of `length` bits that contains an already canonical address. */
export function prefixOf(family: 4 | 6, address: string, length: number): Prefix {
  return prefix(family, networkOf(family, address, length), length);
}

/** The mask that keeps the leading `length` bits, as an address: 24 is "255.255.255.0". */
export function netmask(family: 4 | 6, length: number): string {
  return networkOf(family, family === 4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", length);
}

/** True when every address of `inner` is in `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  return (
    outer.family === inner.family && outer.length <= inner.length && networkOf(inner.family, inner.address, outer.length) === outer.address
  );
}

/** Network-order bytes of the prefix's address: 4 or 16. */
export function prefixBytes(p: Prefix): Buffer {
  if (p.family === 4) return Buffer.from(p.address.split(".").map(Number));
  return Buffer.from(ipaddr.parse(p.address).toByteArray());
}

function prefix(family: 4 | 6, address: string, length: number): Prefix {
  return { family, address, length, text: `${address}/${length}` };
}

function networkOf(family: 4 | 6, address: string, length: number): string {
  if (length === WIDTH[family]) return address;
  return family === 4
    ? ipaddr.IPv4.networkAddressFromCIDR(`${address}/${length}`).toString()
    : ipaddr.IPv6.networkAddressFromCIDR(`${address}/${length}`).toRFC5952String();
}
