import { contains, type Prefix, parsePrefix, prefixBytes } from "../../lib/ip.ts";
import { Problem } from "../../lib/problem.ts";

interface Kind {
  readonly code: string;
  readonly sentence: string;
}

const ASK = "ask the operator to allow the network if it is meant";
const PRIVATE: Kind = { code: "address_private", sentence: `is private: connect from the internet, or ${ASK}.` };
const SHARED: Kind = { code: "address_shared", sentence: `is inside a provider's network (RFC 6598): connect from outside, or ${ASK}.` };
const LOOPBACK: Kind = { code: "address_loopback", sentence: "is this machine's own: connect over the network instead." };
const LINK_LOCAL: Kind = { code: "address_link_local", sentence: "is valid on one link only: connect with a routed address." };
const MULTICAST: Kind = { code: "address_multicast", sentence: "is a multicast group, no device: send the device's own address." };
const BROADCAST: Kind = { code: "address_broadcast", sentence: "is the broadcast address, no device: send the device's own address." };
const DOCUMENTATION: Kind = { code: "address_documentation", sentence: `is for documentation: send a real address, or ${ASK}.` };
const BENCHMARK: Kind = { code: "address_benchmark", sentence: `is for benchmarks: send a real address, or ${ASK}.` };
const UNSPECIFIED: Kind = { code: "address_unspecified", sentence: 'names no device: send the device\'s own address, or "observed".' };
const TUNNEL: Kind = { code: "address_tunnel", sentence: "belongs to a transition mechanism: send the native IPv4 or IPv6 address." };
const RESERVED: Kind = { code: "address_reserved", sentence: "is reserved and reaches no device: send the address the internet sees." };

/** IANA's special-purpose address registries (RFC 6890), multicast and the reserved rest. The narrowest block stands first. */
const BLOCKS: readonly (readonly [prefix: string, kind: Kind])[] = [
  ["0.0.0.0/8", UNSPECIFIED],
  ["10.0.0.0/8", PRIVATE],
  ["172.16.0.0/12", PRIVATE],
  ["192.168.0.0/16", PRIVATE],
  ["100.64.0.0/10", SHARED],
  ["127.0.0.0/8", LOOPBACK],
  ["169.254.0.0/16", LINK_LOCAL],
  ["192.0.2.0/24", DOCUMENTATION],
  ["198.51.100.0/24", DOCUMENTATION],
  ["203.0.113.0/24", DOCUMENTATION],
  ["198.18.0.0/15", BENCHMARK],
  ["192.88.99.0/24", TUNNEL],
  ["192.52.193.0/24", TUNNEL],
  ["192.0.0.0/24", RESERVED],
  // AS112 (RFC 7534, RFC 7535): anycast servers that answer for nobody.
  ["192.31.196.0/24", RESERVED],
  ["192.175.48.0/24", RESERVED],
  ["224.0.0.0/4", MULTICAST],
  ["255.255.255.255/32", BROADCAST],
  ["240.0.0.0/4", RESERVED],
  ["::/128", UNSPECIFIED],
  ["::1/128", LOOPBACK],
  ["2001:db8::/32", DOCUMENTATION],
  ["3fff::/20", DOCUMENTATION],
  ["2001:2::/48", BENCHMARK],
  ["2001::/32", TUNNEL],
  ["2001:3::/32", TUNNEL],
  ["2002::/16", TUNNEL],
  ["64:ff9b::/96", TUNNEL],
  ["64:ff9b:1::/48", TUNNEL],
  ["2001::/23", RESERVED],
  ["2620:4f:8000::/48", RESERVED],
  ["fc00::/7", PRIVATE],
  ["fe80::/10", LINK_LOCAL],
  ["ff00::/8", MULTICAST],
  // Only 2000::/3 is given out for global unicast (RFC 4291 §2.4, IANA).
  ["::/3", RESERVED],
  ["4000::/2", RESERVED],
  ["8000::/1", RESERVED],
];
/** A prefix's address as one number, so that comparing it with each block costs next to nothing: every registration is. */
const bitsOf = (prefix: Prefix): bigint => BigInt(`0x${prefixBytes(prefix).toString("hex")}`);
const PARSED = BLOCKS.map(([text, kind]) => {
  const block = parsePrefix(text);
  return { block, bits: bitsOf(block), ...kind };
});

/**
 * Refuses prefixes that lie in a special-purpose block or reach over one, unless an allowed network holds them whole.
 * @throws Problem address_private | address_shared | address_loopback | address_link_local | address_multicast | address_broadcast |
 *   address_documentation | address_benchmark | address_unspecified | address_tunnel | address_reserved
 */
export function assertOrdinary(prefix: Prefix, allowed: readonly Prefix[]): void {
  if (allowed.some((network) => contains(network, prefix))) return;
  const own = bitsOf(prefix);
  const width = prefix.family === 4 ? 32 : 128;
  // Two prefixes overlap when they agree in as many bits as the shorter one has.
  const overlapping = PARSED.filter(
    ({ block, bits }) => block.family === prefix.family && (bits ^ own) >> BigInt(width - Math.min(block.length, prefix.length)) === 0n,
  );
  const special = overlapping.find(({ block }) => block.length <= prefix.length) ?? overlapping[0];
  if (special !== undefined) throw new Problem(422, special.code, `The address ${prefix.text} ${special.sentence}`);
}
