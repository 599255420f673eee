import { prefixOf } from "../../lib/ip.ts";
import type { RuleLane } from "../../lib/service.ts";
import type { SetDefinition } from "./structure.ts";

/**
 * Prefixes stand in hash sets, one for each lane, family and prefix length in use (tuple space), never in interval sets:
 * those are read back whole at every update.
 */
export interface Tuple {
  readonly lane: RuleLane;
  readonly family: 4 | 6;
  readonly length: number;
}

/** Generation of the sets: the rules look into one while a resync fills the other. */
export type Slot = "a" | "b";

const RULE_LANES: readonly RuleLane[] = ["ip", "ipcert"];
const ALWAYS: readonly (readonly [4 | 6, number])[] = [
  [4, 32],
  [6, 128],
  [6, 64],
];

/** Tuples that are there from the start; every other length comes when it is first used. */
export const USUAL_TUPLES: readonly Tuple[] = RULE_LANES.flatMap((lane) => ALWAYS.map(([family, length]) => ({ lane, family, length })));

/** "ip_v4_32_a" */
export const setName = ({ lane, family, length }: Tuple, slot: Slot): string => `${lane}_v${family}_${length}_${slot}`;

/** The slot that a set's name says, null for sets that have none. */
export function slotOf(name: string): Slot | null {
  const match = /^(?:ip|ipcert)_v[46]_\d+_([ab])$/.exec(name);
  return match?.[1] === "a" || match?.[1] === "b" ? match[1] : null;
}

/**
 * How often the kernel clears away elements whose time is over. They count as absent by themselves; left alone it looks every second,
 * which at a million elements takes 120 ms of a processor each time, in the way of whoever waits for it (measured).
 */
const CLEARED_EVERY = "10m";

export const tupleSet = (tuple: Tuple, slot: Slot): SetDefinition => ({
  name: setName(tuple, slot),
  body: `type ipv${tuple.family}_addr; flags timeout; gc-interval ${CLEARED_EVERY};`,
});

/**
 * The expression that a packet's address is looked up by: "ip saddr", "ip6 daddr & ffff:ffff:ffff:ffff::".
 */
export function addressKey(tuple: Pick<Tuple, "family" | "length">, side: "saddr" | "daddr"): string {
  const field = `${tuple.family === 4 ? "ip" : "ip6"} ${side}`;
  if (tuple.length === (tuple.family === 4 ? 32 : 128)) return field;
  return `${field} & ${netmask(tuple.family, tuple.length)}`;
}

const ALL_ONES = { 4: "255.255.255.255", 6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" } as const;

const netmask = (family: 4 | 6, length: number): string => prefixOf(family, ALL_ONES[family], length).address;
