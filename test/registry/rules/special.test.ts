import { expect } from "chai";
import fc from "fast-check";
import { contains, parseAddress, parsePrefix, prefixBytes, prefixOf } from "../../../lib/ip.ts";
import { assertOrdinary } from "../../../registry/rules/special.ts";
import { problemCode } from "../../lib/problem-code.ts";

/**
 * IANA's IPv4 and IPv6 special-purpose address registries (as of 2026), row by row, with multicast, the rest of class E and all that
 * is not global unicast. First and last address of each block; the code that refuses both.
 */
const REGISTRY: readonly [block: string, first: string, last: string, code: string][] = [
  ["0.0.0.0/8", "0.0.0.0", "0.255.255.255", "address_unspecified"],
  ["10.0.0.0/8", "10.0.0.0", "10.255.255.255", "address_private"],
  ["100.64.0.0/10", "100.64.0.0", "100.127.255.255", "address_shared"],
  ["127.0.0.0/8", "127.0.0.0", "127.255.255.255", "address_loopback"],
  ["169.254.0.0/16", "169.254.0.0", "169.254.255.255", "address_link_local"],
  ["172.16.0.0/12", "172.16.0.0", "172.31.255.255", "address_private"],
  ["192.0.0.0/24", "192.0.0.0", "192.0.0.255", "address_reserved"],
  ["192.0.2.0/24", "192.0.2.0", "192.0.2.255", "address_documentation"],
  ["192.31.196.0/24", "192.31.196.0", "192.31.196.255", "address_reserved"],
  ["192.52.193.0/24", "192.52.193.0", "192.52.193.255", "address_tunnel"],
  ["192.88.99.0/24", "192.88.99.0", "192.88.99.255", "address_tunnel"],
  ["192.168.0.0/16", "192.168.0.0", "192.168.255.255", "address_private"],
  ["192.175.48.0/24", "192.175.48.0", "192.175.48.255", "address_reserved"],
  ["198.18.0.0/15", "198.18.0.0", "198.19.255.255", "address_benchmark"],
  ["198.51.100.0/24", "198.51.100.0", "198.51.100.255", "address_documentation"],
  ["203.0.113.0/24", "203.0.113.0", "203.0.113.255", "address_documentation"],
  ["224.0.0.0/4", "224.0.0.0", "239.255.255.255", "address_multicast"],
  ["240.0.0.0/4", "240.0.0.0", "255.255.255.254", "address_reserved"],
  ["255.255.255.255/32", "255.255.255.255", "255.255.255.255", "address_broadcast"],
  ["::/128", "::", "::", "address_unspecified"],
  ["::1/128", "::1", "::1", "address_loopback"],
  ["::/3 beside", "::2", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["64:ff9b::/96", "64:ff9b::", "64:ff9b::ffff:ffff", "address_tunnel"],
  ["64:ff9b:1::/48", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "address_tunnel"],
  ["100::/64", "100::", "100::ffff:ffff:ffff:ffff", "address_reserved"],
  ["100:0:0:1::/64", "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "address_reserved"],
  ["2001::/32", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "address_tunnel"],
  ["2001:1::/32", "2001:1::1", "2001:1::3", "address_reserved"],
  ["2001:2::/48", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "address_benchmark"],
  ["2001:3::/32", "2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", "address_tunnel"],
  ["2001:4:112::/48", "2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["2001:10::/28", "2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["2001:20::/28", "2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["2001:30::/28", "2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["2001::/23 beside", "2001:5::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "address_documentation"],
  ["2002::/16", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "address_tunnel"],
  ["2620:4f:8000::/48", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["3fff::/20", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "address_documentation"],
  ["5f00::/16", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["fc00::/7", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "address_private"],
  ["fe80::/10", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "address_link_local"],
  ["fec0::/10", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "address_reserved"],
  ["ff00::/8", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "address_multicast"],
];
/** Neighbours of the blocks, which are anybody's. */
const ORDINARY = [
  ...["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255"],
  ...["169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.31.195.255", "192.31.197.0", "192.52.192.255"],
  ...["192.52.194.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0"],
  ...["198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255"],
  ...["2000::", "2001:200::", "2001:db7:ffff::", "2001:db9::", "2001:ffff::", "2003::", "2620:4f:7fff::", "2620:4f:8001::", "3ffe:ffff::"],
  ...["3fff:1000::", "3fff:ffff::"],
];
const refused = (text: string, ...allowed: string[]) =>
  problemCode(() =>
    assertOrdinary(
      parsePrefix(text),
      allowed.map((network) => parsePrefix(network)),
    ),
  );

describe("special-purpose addresses", () => {
  for (const [block, first, last, code] of REGISTRY) {
    it(`of ${block} are refused with ${code}, the first as the last`, () => {
      expect([refused(first), refused(last)]).to.deep.equal([code, code]);
    });
  }

  it("leave their neighbours alone", () => {
    const wrong = ORDINARY.filter((text) => {
      try {
        assertOrdinary(parsePrefix(text), []);
        return false;
      } catch {
        return true;
      }
    });
    expect(wrong).to.deep.equal([]);
  });

  it("are refused in mapped form as they are in their own", () => {
    for (const [, first, last, code] of REGISTRY.filter(([block]) => block.includes("."))) {
      expect([refused(`::ffff:${first}`), refused(`::ffff:${last}`)]).to.deep.equal([code, code]);
    }
  });

  it("are refused by every prefix that holds one, unless a network that is allowed holds the prefix whole", () => {
    const address = fc
      .oneof(
        fc.ipV4(),
        fc.ipV6().filter((text) => !text.includes(".")),
      )
      .map((text) => parseAddress(text));
    fc.assert(
      fc.property(address, fc.nat({ max: 128 }), ({ family, address: text }, length) => {
        const prefix = prefixOf(family, text, Math.min(length, family === 4 ? 32 : 128));
        const holds = REGISTRY.some(([, first, last]) => [first, last].some((one) => contains(prefix, parsePrefix(one))));
        if (holds) expect(refused(prefix.text)).to.match(/^address_/);
        assertOrdinary(prefix, [prefix]);
      }),
    );
  });

  it("tell in their sentence what to do", () => {
    for (const [, first] of REGISTRY) {
      try {
        assertOrdinary(parsePrefix(first), []);
        expect.fail(first);
      } catch (error) {
        expect(String((error as Error).message)).to.match(/^The address \S+ (is|belongs|names) .+: (connect|send) .+\.$/);
      }
    }
  });
});

describe("a mapped address", () => {
  const ipv4 = fc.ipV4();

  it("is its IPv4 address, with the prefix length counted from the 96th bit, or refused alike", () => {
    fc.assert(
      fc.property(ipv4, fc.nat({ max: 40 }), fc.boolean(), (text, length, hexadecimal) => {
        const bytes = prefixBytes(parsePrefix(text));
        const tail = hexadecimal ? `${bytes.readUInt16BE(0).toString(16)}:${bytes.readUInt16BE(2).toString(16)}` : text;
        const read = (from: string): string => {
          try {
            return parsePrefix(from).text;
          } catch (error) {
            return String((error as { code?: unknown }).code);
          }
        };
        expect(read(`::ffff:${tail}/${96 + length}`)).to.equal(read(`${text}/${length}`));
        expect(parseAddress(`::FFFF:${tail}`)).to.deep.equal({ family: 4, address: text });
      }),
    );
  });
});
