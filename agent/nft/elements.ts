import { TABLE } from "../../lib/service.ts";
import type { Difference } from "../target.ts";
import { type Slot, setName, type Tuple } from "./sets.ts";

/**
 * Elements in one transaction of a load. Each costs a process, 6 ms: with 4,000 that was a fifth of the load (measured). It bounds nft's
 * memory, some 400 bytes for each.
 */
export const MAX_ELEMENTS = 16_000;
/** So many always pass: without root outside its user namespace nft cannot enlarge its socket's buffer (208 KiB, 5,000 IPv6 elements). */
export const MIN_ELEMENTS = 2_000;
/** Differences in one transaction: each may name its element three times. */
export const MAX_DIFFERENCES = 1_000;
/** Ten years, seconds: far beyond any lifetime, and in range of the kernel's timer. */
const LONGEST_LIFE_S = 315_360_000;

/**
 * Remaining life as nft is told: whole seconds, never more than what is left, at least one. Null is "not to be written":
 * to nft a timeout of 0, or of 0.4, means forever.
 */
export function lifeSeconds(expiresAt: number, nowMs: number): number | null {
  const seconds = Math.floor((expiresAt - nowMs) / 1_000);
  return seconds >= 1 ? Math.min(seconds, LONGEST_LIFE_S) : null;
}

/** The set of a lane that a canonical prefix belongs into, and the address that it is written as. */
export function placeOf(lane: Tuple["lane"], prefix: string): { tuple: Tuple; address: string } {
  const slash = prefix.indexOf("/");
  const address = prefix.slice(0, slash);
  return { tuple: { lane, family: address.includes(":") ? 6 : 4, length: Number(prefix.slice(slash + 1)) }, address };
}

/** nft command that adds addresses with their lives to one set: native text, a third faster in bulk than JSON and a third of its memory. */
export function addElements(tuple: Tuple, slot: Slot, elements: readonly string[]): string {
  return `add element inet ${TABLE} ${setName(tuple, slot)} { ${elements.join(", ")} }`;
}

export const element = (address: string, lifeS: number): string => `${address} timeout ${lifeS}s`;

/** What becomes of one set in one transaction. */
interface SetChange {
  /** Addresses that may stand there already, and go. */
  readonly gone: string[];
  /** Addresses that come, or come back with another life. */
  readonly come: { readonly elem: { readonly val: string; readonly timeout: number } }[];
}

/**
 * Differences as JSON documents for nft (libnftables-json(5)), one transaction each, at most {@link MAX_DIFFERENCES} in one.
 * A removal is add + delete, as deleting an absent element fails the whole transaction; a changed life is add + delete + add,
 * as older kernels keep the old life of an element that is added again.
 * @param present whether a tuple's set is there; nothing stands in a set that is not
 */
export function differenceScripts(
  differences: readonly Difference[],
  slot: Slot,
  nowMs: number,
  present: (tuple: Tuple) => boolean,
): string[] {
  const scripts: string[] = [];
  for (let at = 0; at < differences.length; at += MAX_DIFFERENCES) {
    const changes = new Map<string, SetChange>();
    for (const { lane, prefix, applied, wanted } of differences.slice(at, at + MAX_DIFFERENCES)) {
      const { tuple, address } = placeOf(lane, prefix);
      const lifeS = wanted === null ? null : lifeSeconds(wanted, nowMs);
      if ((applied === null && lifeS === null) || !present(tuple)) continue;
      const name = setName(tuple, slot);
      const change = changes.get(name) ?? { gone: [], come: [] };
      changes.set(name, change);
      if (applied !== null) change.gone.push(address);
      if (lifeS !== null) change.come.push({ elem: { val: address, timeout: lifeS } });
    }
    if (changes.size > 0) scripts.push(JSON.stringify({ nftables: [...changes].flatMap(([name, change]) => setCommands(name, change)) }));
  }
  return scripts;
}

function setCommands(name: string, { gone, come }: SetChange): object[] {
  const command = (verb: "add" | "delete", elem: readonly unknown[]) =>
    elem.length === 0 ? [] : [{ [verb]: { element: { family: "inet", table: TABLE, name, elem } } }];
  return [...command("add", gone), ...command("delete", gone), ...command("add", come)];
}
