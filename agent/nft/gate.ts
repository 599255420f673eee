import { CERTIFIED_DSCP, CUT_MARK, LANE_MARK, LANES, type Lane, TABLE } from "../../lib/service.ts";
import type { GateConfig } from "../config.ts";
import { floorStructure } from "./floor-rules.ts";
import { addressKey, type Slot, setName, type Tuple, tupleSet, USUAL_TUPLES } from "./sets.ts";
import {
  type AdmitSource,
  admitChains,
  OPEN_SETS,
  portList,
  RATE_SETS,
  ROAMING_RATE_SETS,
  STANDARD_FIRST,
  STANDARD_RAW,
  standardLast,
} from "./standard.ts";
import { type ChainDefinition, type SetDefinition, type Structure, structureText } from "./structure.ts";

/** Raised when a standing table cannot be turned into the new one by {@link structureCommands}: changed hooks, set types. */
const FORMAT = 1;

/** What the gate's structure is made from. */
export type GateSource = AdmitSource;

/** Flows that are to end at once, by address and port. */
const CUT_SETS: readonly SetDefinition[] = [
  { name: "cut4", body: "type ipv4_addr . inet_service; flags timeout;" },
  { name: "cut6", body: "type ipv6_addr . inet_service; flags timeout;" },
];

const ICMP_ERRORS = "icmp type { destination-unreachable, source-quench, redirect, time-exceeded, parameter-problem }";
const ICMP6_ERRORS = "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-redirect }";

export const mark = (lane: Lane): string => `0x${LANE_MARK[lane].toString(16)}`;
export const ALL_MARKS = `{ ${LANES.map(mark).join(", ")} }`;

/** A chain without rules whose name says which format stands and which slot its rules look into. */
export const markerChain = (slot: Slot): string => `format_${FORMAT}_${slot}`;

/** Both tables as text that `nft -f` loads, with the sets that are always there and no element. */
export function renderGate(config: GateSource): string {
  const gate = structureText(gateStructure(config, USUAL_TUPLES, "a"));
  return config.zone === "open" ? gate : `${gate}\n${structureText(floorStructure([config.gate]))}`;
}

/**
 * The gate's table without an element, as a script for `nft -f`: nobody is in. Refused by the kernel as a whole where a table stands
 * already, so that it never takes the place of a living gate.
 */
export function renderClosedGate(config: GateSource): string {
  return `create table inet ${TABLE}\n${structureText(gateStructure(config, USUAL_TUPLES, "a"))}`;
}

/**
 * Table `inet entityos`: in the restricted zone the whole gate (DESIGN.md §4), in the open zone Standard Rules alone.
 * @param tuples sets that the rules look into; their elements are no part of the structure
 */
export function gateStructure(config: GateSource, tuples: readonly Tuple[], slot: Slot): Structure {
  const chains = config.zone === "open" ? openChains(config) : restrictedChains(config, tuples, slot);
  return {
    table: TABLE,
    flags: null,
    sets:
      config.zone === "open"
        ? RATE_SETS
        : [...RATE_SETS, ...ROAMING_RATE_SETS, ...OPEN_SETS, ...CUT_SETS, ...tuples.map((tuple) => tupleSet(tuple, slot))],
    chains: [{ name: markerChain(slot), hook: null, rules: [] }, ...chains],
  };
}

/** The chains that look addresses up: what alone changes when a prefix length is used for the first time. */
export function lookupChains(gate: GateConfig, tuples: readonly Tuple[], slot: Slot): ChainDefinition[] {
  const roaming = gate.lanes.roaming ? [`meta mark set ${mark("roaming")}`] : [];
  return [
    { name: "lane_from", hook: null, rules: [...lookups(gate, tuples, slot, "saddr"), ...roaming] },
    { name: "lane_to", hook: null, rules: lookups(gate, tuples, slot, "daddr") },
  ];
}

/** Precedence is the order: ip before ipcert. A lane that is off has no lookup, its sets stay. */
function lookups(gate: GateConfig, tuples: readonly Tuple[], slot: Slot, side: "saddr" | "daddr"): string[] {
  return (["ip", "ipcert"] as const)
    .filter((lane) => gate.lanes[lane])
    .flatMap((lane) =>
      tuples
        .filter((tuple) => tuple.lane === lane)
        .map((tuple) => `${addressKey(tuple, side)} @${setName(tuple, slot)} meta mark set ${mark(lane)} return`),
    );
}

function restrictedChains(config: GateSource, tuples: readonly Tuple[], slot: Slot): ChainDefinition[] {
  const { gate, terminator } = config;
  const strict = terminator.kind === "haproxy" && lanesOfCertificates(gate).length > 0;
  const service = `tcp dport ${portList(gate.servicePorts)}`;
  const listeners = `tcp dport ${portList(LANES.map((lane) => gate.listeners[lane]))}`;
  const lanes = LANES.filter((lane) => gate.lanes[lane]);
  return [
    ...lookupChains(gate, tuples, slot),
    ...admitChains(config),
    ...admitChains(config, "_roaming"),
    ...(strict ? [UNCERTIFIED] : []),
    {
      name: "raw",
      hook: "type filter hook prerouting priority raw; policy accept;",
      rules: [
        // Whoever is on the host already is in no lane: no local user speaks as an admitted device.
        `iif lo ${listeners} drop`,
        // A mark that came from elsewhere (a tunnel, another table) opens nothing.
        `meta mark ${ALL_MARKS} meta mark set 0`,
        ...STANDARD_RAW,
        `${listeners} drop`,
        `${service} ip saddr . tcp sport @cut4 drop`,
        `${service} ip6 saddr . tcp sport @cut6 drop`,
        `${service} jump lane_from`,
        `${service} meta mark != ${ALL_MARKS} drop`,
      ],
    },
    {
      name: "mangle",
      hook: "type filter hook prerouting priority mangle; policy accept;",
      rules: [
        `meta mark ${ALL_MARKS} ct state new ct mark set meta mark`,
        // A flow whose source changed lane still has the old lane's NAT mapping.
        ...LANES.map((lane) => `meta mark ${mark(lane)} ct mark != ${mark(lane)} drop`),
      ],
    },
    {
      name: "nat",
      hook: "type nat hook prerouting priority dstnat; policy accept;",
      rules: lanes.map((lane) => `${service} meta mark ${mark(lane)} redirect to :${gate.listeners[lane]}`),
    },
    {
      name: "input",
      hook: "type filter hook input priority filter; policy drop;",
      rules: [
        ...STANDARD_FIRST,
        ...lanes.map(
          (lane) => `tcp dport ${gate.listeners[lane]} meta mark ${mark(lane)} jump admit${lane === "roaming" ? "_roaming" : ""}`,
        ),
        `tcp dport ${portList(protectedPorts(gate))} drop`,
        ...standardLast(gate),
      ],
    },
    { name: "output", hook: "type filter hook output priority filter; policy accept;", rules: outputRules(gate, strict) },
    ...cutChains(`tcp dport ${portList(protectedPorts(gate))}`, `tcp sport ${portList(protectedPorts(gate))}`),
  ];
}

const CUT = `ct mark set 0x${CUT_MARK.toString(16)} drop`;

/**
 * What is cut, by the client's port as the terminator has it. The kernel gives a connection another one where two from one port of a
 * client, to two addresses or ports of this host, would be one behind the redirection; it does so last of all on the way in (110 is after
 * srcnat of the input hook), and takes it back on the way out after priority mangle.
 */
function cutChains(theirs: string, ours: string): ChainDefinition[] {
  return [
    {
      name: "cut_in",
      hook: "type filter hook input priority 110; policy accept;",
      rules: [`${theirs} ip saddr . tcp sport @cut4 drop`, `${theirs} ip6 saddr . tcp sport @cut6 drop`],
    },
    {
      name: "cut_out",
      hook: "type filter hook output priority mangle; policy accept;",
      // The mark tells what conntrack(8) is to forget.
      rules: [`${ours} ip daddr . tcp dport @cut4 ${CUT}`, `${ours} ip6 daddr . tcp dport @cut6 ${CUT}`],
    },
  ];
}

/** Lanes in which nobody is answered without a certificate. */
const lanesOfCertificates = (gate: GateConfig): Lane[] => (["ipcert", "roaming"] as const).filter((lane) => gate.lanes[lane]);

/**
 * What HAProxy must not say to a client that has shown no certificate that counts. It has no way to hold its tongue before TLS stands:
 * a ClientHello that it cannot take gets an alert and FIN from it. Alerts are records of type 21, once encrypted in TLS 1.3 the only
 * ones of two bytes with their type and a tag of 16 (RFC 8446 §5.2, §6).
 */
const UNCERTIFIED: ChainDefinition = {
  name: "uncertified",
  hook: null,
  rules: [
    `ip dscp ${CERTIFIED_DSCP} ip dscp set 0 return`,
    `ip6 dscp ${CERTIFIED_DSCP} ip6 dscp set 0 return`,
    "tcp flags & fin == fin drop",
    "@ih,0,8 0x15 drop",
    "@ih,0,40 0x1703030013 drop",
  ],
};

function outputRules(gate: GateConfig, strict: boolean): string[] {
  const ours = `tcp sport ${portList(protectedPorts(gate))}`;
  const ofCertificates = `ct mark { ${lanesOfCertificates(gate).map(mark).join(", ")} }`;
  return [
    "oif lo accept",
    `${ours} ip daddr . tcp dport @cut4 ${CUT}`,
    `${ours} ip6 daddr . tcp dport @cut6 ${CUT}`,
    `${ours} tcp flags & rst == rst drop`,
    // Only what is looked up here counts: a socket or a reply may carry a mark already. The mark set here is what the floor asks for.
    `${ours} meta mark set 0`,
    `${ours} jump lane_to`,
    ...(gate.lanes.roaming ? [`${ours} meta mark 0 meta mark set ${mark("roaming")}`] : []),
    ...(strict ? [`${ours} ${ofCertificates} jump ${UNCERTIFIED.name}`] : []),
    ...LANES.map((lane) => `${ours} meta mark ${mark(lane)} ct mark ${mark(lane)} accept`),
    `${ours} drop`,
    ...[ICMP_ERRORS, ICMP6_ERRORS].flatMap((errors) => [
      `${errors} meta mark set 0`,
      `${errors} jump lane_to`,
      `${errors} meta mark != ${ALL_MARKS} drop`,
    ]),
  ];
}

function openChains(config: GateSource): ChainDefinition[] {
  const { gate } = config;
  return [
    ...admitChains(config),
    { name: "raw", hook: "type filter hook prerouting priority raw; policy accept;", rules: STANDARD_RAW },
    {
      name: "input",
      hook: "type filter hook input priority filter; policy drop;",
      rules: [...STANDARD_FIRST, `tcp dport ${portList(gate.servicePorts)} jump admit`, ...standardLast(gate)],
    },
  ];
}

/** Service and listener ports: nothing without a lane reaches them or leaves them. */
export const protectedPorts = (gate: GateConfig): number[] => [...gate.servicePorts, ...LANES.map((lane) => gate.listeners[lane])];
