import { type Prefix, parsePrefix, prefixOf } from "../../lib/ip.ts";
import { type AgentConfig, type GateConfig, mostOfSource } from "../config.ts";
import type { ChainDefinition, SetDefinition } from "./structure.ts";

/**
 * Sources whose new connections are counted at a time, per family. A full set admits nobody new: the accepting rule is the one
 * that needs an element ("over … drop" would admit everyone).
 */
export const RATE_SOURCES = 131_072;
/** A source of IPv6 is its /64. */
const SOURCE6 = "ffff:ffff:ffff:ffff::";
/** Shortest time that a source is remembered for, seconds. */
const RATE_MEMORY_S = 10;

const sourceSets = (name: string, suffix: string, flags: string): readonly SetDefinition[] =>
  ([4, 6] as const).map((family) => ({
    name: `${name}${family}${suffix}`,
    body: `type ipv${family}_addr; size ${RATE_SOURCES}; flags ${flags};`,
  }));
export const RATE_SETS = sourceSets("rate", "", "dynamic,timeout");
/** Those of lane roaming are counted apart: whoever forges sources there fills these sets and keeps no registered one out. */
export const ROAMING_RATE_SETS = sourceSets("rate", "_roaming", "dynamic,timeout");
/** Connections that sources hold open: the kernel lets a source go with its last one. */
export const OPEN_SETS = [...sourceSets("open", "", "dynamic"), ...sourceSets("open", "_roaming", "dynamic")];

/** `{ 22, 443 }`, or the port alone. */
export const portList = (ports: readonly number[]): string => (ports.length === 1 ? `${ports[0]}` : `{ ${ports.join(", ")} }`);

/** Standard Rules of the raw hook: for packets to this host alone, before conntrack. */
export const STANDARD_RAW: readonly string[] = [
  "iif lo accept",
  // Not for this host: forwarded packets, such as those of containers, are not the gate's.
  "fib daddr type unicast accept",
  // An offer may come before there is a route back.
  "udp sport 67 udp dport 68 accept",
  // Spoofed: the way back does not lead where the packet came from. Duplicate address detection comes from ::.
  "ip saddr != 0.0.0.0 fib saddr . iif oif missing drop",
  "ip6 saddr != { ::, fe80::/10 } fib saddr . iif oif missing drop",
  "meta l4proto icmp icmp type != { echo-reply, destination-unreachable, time-exceeded, parameter-problem } drop",
  "icmpv6 type != { echo-reply, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, mld-listener-query, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } drop",
];

/** First rules of the input hook, before anything is accepted. */
export const STANDARD_FIRST: readonly string[] = ["iif lo accept", "ct state invalid drop"];

/** Last rules of the input hook: what a host needs to live, operators and load balancers from named networks, nothing else. */
export function standardLast(gate: GateConfig): string[] {
  return [
    // RFC 4861 §6.1.2, §7.1: a hop limit of 255 proves the neighbour.
    "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
    // RFC 4890 §4.4.1: without an answer, snooping switches stop neighbour discovery.
    "ip6 saddr fe80::/10 icmpv6 type mld-listener-query accept",
    "udp sport 67 udp dport 68 accept",
    "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
    // Answers to what the host asked, DNS and NTP among them, and errors about its flows.
    "ct state established,related accept",
    ...fromNetworks(gate.management.ports, gate.management.networks),
    ...fromNetworks([gate.probe.port], gate.probe.networks),
    "drop",
  ];
}

/** What {@link admitChains} are made from. */
export type AdmitSource = Pick<AgentConfig, "zone" | "gate" | "terminator">;

/**
 * Jumped to by flows that may come in, as far as their source opens no more new connections than the limit, and in the restricted zone
 * holds no more of them. Fails closed. A chain comes after those that it jumps to. HAProxy counts what is open by itself, and better:
 * here a connection that was dropped silently counts until its client closes it.
 */
export function admitChains(source: AdmitSource, who: "" | "_roaming" = ""): ChainDefinition[] {
  const { zone, gate, terminator } = source;
  const { perSecond, burst } = gate.newConnections;
  const memoryS = Math.max(RATE_MEMORY_S, Math.ceil(burst / perSecond));
  const limit = `timeout ${memoryS}s limit rate ${perSecond}/second burst ${burst} packets`;
  const most = mostOfSource(source, who === "" ? "perSource" : "roaming");
  const holds = zone === "restricted" && terminator.kind !== "haproxy";
  const next = holds ? `jump hold${who}` : "accept";
  const hold: ChainDefinition = {
    name: `hold${who}`,
    hook: null,
    rules: [
      `add @open4${who} { ip saddr ct count ${most} } accept`,
      `add @open6${who} { ip6 saddr & ${SOURCE6} ct count ${most} } accept`,
      "drop",
    ],
  };
  const admit: ChainDefinition = {
    name: `admit${who}`,
    hook: null,
    rules: [
      "ct state established accept",
      `ct state new update @rate4${who} { ip saddr ${limit} } ${next}`,
      `ct state new update @rate6${who} { ip6 saddr & ${SOURCE6} ${limit} } ${next}`,
      "drop",
    ],
  };
  return holds ? [hold, admit] : [admit];
}

/** Accepts new connections to these ports from these networks. */
export function fromNetworks(ports: readonly number[], networks: readonly string[]): string[] {
  if (ports.length === 0) return [];
  const accept = `tcp dport ${portList(ports)} ct state new accept`;
  return ([4, 6] as const).flatMap((family) => {
    const widest = withoutOverlap(networks.map((text) => parsePrefix(text)).filter((prefix) => prefix.family === family));
    if (widest.length === 0) return [];
    if (widest.some(({ length }) => length === 0)) return [`meta nfproto ipv${family} ${accept}`];
    return [`${family === 4 ? "ip" : "ip6"} saddr { ${widest.map(({ text }) => text).join(", ")} } ${accept}`];
  });
}

/** nft refuses a set in which one interval lies in another. Widest first, so that each is only looked for in what stays. */
function withoutOverlap(prefixes: readonly Prefix[]): Prefix[] {
  const kept = new Map<string, Prefix>();
  const lengths = new Set<number>();
  for (const prefix of [...prefixes].sort((one, other) => one.length - other.length)) {
    const { family, address, length, text } = prefix;
    if ([...lengths].some((wider) => kept.has(prefixOf(family, address, wider).text))) continue;
    kept.set(text, prefix);
    lengths.add(length);
  }
  return prefixes.filter((prefix) => kept.get(prefix.text) === prefix);
}
