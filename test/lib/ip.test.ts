import { expect } from "chai";
import fc from "fast-check";
import { contains, netmask, parseAddress, parsePrefix, prefixBytes, prefixOf } from "../../lib/ip.ts";
import { problemCode } from "./problem-code.ts";

const octet = fc.nat({ max: 255 });
const ipv4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join("."));
/** Zero groups often, so that every place and length of "::" comes up. */
const group = fc.oneof(fc.constant(0), fc.nat({ max: 0xffff }));
const groups = fc.array(group, { minLength: 8, maxLength: 8 });
const isMapped = (all: readonly number[]) => all.slice(0, 5).every((one) => one === 0) && all[5] === 0xffff;
const ipv6 = groups.filter((all) => !isMapped(all)).map((all) => all.map((one) => one.toString(16)).join(":"));

describe("parseAddress", () => {
  const accepted: readonly [text: string, family: 4 | 6, address: string][] = [
    ["203.0.113.7", 4, "203.0.113.7"],
    ["0.0.0.0", 4, "0.0.0.0"],
    ["2001:DB8::7", 6, "2001:db8::7"],
    ["2001:0db8:0000:0000:0000:0000:0000:0007", 6, "2001:db8::7"],
    ["::", 6, "::"],
    ["1:2:3:4:5:6:7::", 6, "1:2:3:4:5:6:7:0"],
    ["0:0:1:2:0:0:3:4", 6, "::1:2:0:0:3:4"],
    ["::ffff:203.0.113.7", 4, "203.0.113.7"],
    ["::FFFF:203.0.113.7", 4, "203.0.113.7"],
    ["0:0:0:0:0:ffff:203.0.113.7", 4, "203.0.113.7"],
    ["::ffff:cb00:7107", 4, "203.0.113.7"],
    ["::102:304", 6, "::102:304"],
  ];
  for (const [text, family, address] of accepted) {
    it(`reads ${text} as ${address}`, () => {
      expect(parseAddress(text)).to.deep.equal({ family, address });
    });
  }

  const refused: readonly [text: string, code: string, why: string][] = [
    ["010.0.0.1", "address_octal", "an octal look"],
    ["10.0.0.01", "address_octal", "an octal look at the end"],
    ["08.8.8.8", "address_octal", "a leading zero that is no octal"],
    ["0x0a.0.0.1", "address_invalid", "hexadecimal"],
    ["10.1", "address_invalid", "a short form"],
    ["167772161", "address_invalid", "one number"],
    ["203.0.113.256", "address_invalid", "an octet over 255"],
    ["203.0.113.7.", "address_invalid", "a trailing dot"],
    [" 203.0.113.7", "address_invalid", "a space"],
    ["203.0.113.7\n", "address_invalid", "a line break"],
    ["２03.0.113.7", "address_invalid", "a digit that is not ASCII"],
    ["[2001:db8::7]", "address_invalid", "brackets"],
    ["2001:db8::7::", "address_invalid", "two gaps"],
    ["", "address_invalid", "nothing"],
    ["localhost", "address_invalid", "a name"],
    ["fe80::1%eth0", "address_zone", "a zone"],
    ["203.0.113.7%eth0", "address_zone", "a zone after IPv4"],
    ["::1.2.3.4", "address_invalid", "an IPv4-compatible form that parsers read as mapped"],
    ["64:ff9b::1.2.3.4", "address_invalid", "another dotted form"],
    ["::ffff:0:1.2.3.4", "address_invalid", "an IPv4-translated form, one group off from mapped"],
    ["::ffff:010.0.0.1", "address_octal", "an octal look inside a mapped form"],
  ];
  for (const [text, code, why] of refused) {
    it(`refuses ${JSON.stringify(text)} (${why}) with ${code}`, () => {
      expect(problemCode(() => parseAddress(text))).to.equal(code);
    });
  }

  it("writes IPv6 as the WHATWG URL serializer does", () => {
    fc.assert(
      fc.property(ipv6, (text) => {
        expect(`[${parseAddress(text).address}]`).to.equal(new URL(`http://[${text}]/`).hostname);
      }),
    );
  });

  it("reads its own output as it wrote it", () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (text) => {
        const once = parseAddress(text);
        expect(parseAddress(once.address)).to.deep.equal(once);
      }),
    );
  });

  it("answers any text with an address or a problem", () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(..."0123456789abcdef:./%x") }));
    fc.assert(
      fc.property(text, (any) => {
        try {
          parsePrefix(any);
        } catch (error) {
          expect(String((error as { code?: unknown }).code)).to.match(/^(address|prefix)_/);
        }
      }),
    );
  });
});

describe("parsePrefix", () => {
  const accepted: readonly [text: string, canonical: string][] = [
    ["203.0.113.7", "203.0.113.7/32"],
    ["203.0.113.0/24", "203.0.113.0/24"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["2001:db8::7", "2001:db8::7/128"],
    ["2001:DB8:0::/64", "2001:db8::/64"],
    ["::/0", "::/0"],
    ["::ffff:203.0.113.7", "203.0.113.7/32"],
    ["::ffff:203.0.113.0/120", "203.0.113.0/24"],
    ["::ffff:0:0/96", "0.0.0.0/0"],
  ];
  for (const [text, canonical] of accepted) {
    it(`reads ${text} as ${canonical}`, () => {
      expect(parsePrefix(text).text).to.equal(canonical);
    });
  }

  const refused: readonly [text: string, code: string][] = [
    ["203.0.113.7/24", "prefix_host_bits"],
    ["2001:db8::1/64", "prefix_host_bits"],
    ["::ffff:203.0.113.7/120", "prefix_host_bits"],
    ["203.0.113.0/33", "prefix_length"],
    ["203.0.113.0/024", "prefix_length"],
    ["203.0.113.0/+24", "prefix_length"],
    ["203.0.113.0/24.0", "prefix_length"],
    ["203.0.113.0/1e1", "prefix_length"],
    ["203.0.113.0/", "prefix_length"],
    ["203.0.113.0/ 24", "prefix_length"],
    ["203.0.113.0/24/24", "prefix_length"],
    ["203.0.113.0/255.255.255.0", "prefix_length"],
    ["2001:db8::/129", "prefix_length"],
    ["::ffff:203.0.113.7/95", "prefix_length"],
    ["::ffff:203.0.113.7/129", "prefix_length"],
    ["/24", "address_invalid"],
    ["10.1/16", "address_invalid"],
    ["fe80::%1/64", "address_zone"],
  ];
  for (const [text, code] of refused) {
    it(`refuses ${text} with ${code}`, () => {
      expect(problemCode(() => parsePrefix(text))).to.equal(code);
    });
  }

  it("names the prefix that was perhaps meant when host bits are set", () => {
    expect(() => parsePrefix("203.0.113.7/24")).to.throw("did you mean 203.0.113.0/24?");
  });
});

describe("prefixes", () => {
  const bits = (family: 4 | 6, address: string): string =>
    [...prefixBytes(prefixOf(family, address, family === 4 ? 32 : 128))].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const address = fc.oneof(ipv4, ipv6).map((text) => parseAddress(text));

  it("keep the leading bits and clear the others", () => {
    fc.assert(
      fc.property(address, fc.nat({ max: 128 }), ({ family, address: text }, length) => {
        const width = family === 4 ? 32 : 128;
        const kept = Math.min(length, width);
        const block = prefixOf(family, text, kept);
        expect(bits(family, block.address)).to.equal(bits(family, text).slice(0, kept).padEnd(width, "0"));
        expect(parsePrefix(block.text)).to.deep.equal(block);
      }),
    );
  });

  it("contain an address exactly when their bits lead it", () => {
    fc.assert(
      fc.property(address, address, fc.nat({ max: 128 }), (one, other, length) => {
        const width = one.family === 4 ? 32 : 128;
        const outer = prefixOf(one.family, one.address, Math.min(length, width));
        const inner = prefixOf(other.family, other.address, other.family === 4 ? 32 : 128);
        const leads =
          one.family === other.family && bits(other.family, other.address).startsWith(bits(one.family, one.address).slice(0, outer.length));
        expect(contains(outer, inner)).to.equal(leads);
        expect(contains(outer, outer)).to.equal(true);
      }),
    );
  });

  it("contain narrower ones only, of their own family", () => {
    expect(contains(parsePrefix("203.0.113.0/24"), parsePrefix("203.0.113.128/25"))).to.equal(true);
    expect(contains(parsePrefix("203.0.113.0/24"), parsePrefix("203.0.112.0/23"))).to.equal(false);
    expect(contains(parsePrefix("0.0.0.0/0"), parsePrefix("::/0"))).to.equal(false);
    expect(contains(parsePrefix("::/0"), parsePrefix("203.0.113.7/32"))).to.equal(false);
  });

  it("have masks, written as addresses", () => {
    expect([0, 1, 24, 31, 32].map((length) => netmask(4, length))).to.deep.equal([
      "0.0.0.0",
      "128.0.0.0",
      "255.255.255.0",
      "255.255.255.254",
      "255.255.255.255",
    ]);
    expect([0, 1, 48, 64, 127, 128].map((length) => netmask(6, length))).to.deep.equal([
      "::",
      "8000::",
      "ffff:ffff:ffff::",
      "ffff:ffff:ffff:ffff::",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ]);
  });

  it("have their bytes in network order", () => {
    expect(prefixBytes(parsePrefix("203.0.113.7")).toString("hex")).to.equal("cb007107");
    expect(prefixBytes(parsePrefix("2001:db8::/64")).toString("hex")).to.equal("20010db8000000000000000000000000");
  });
});
