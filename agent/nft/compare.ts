import { setImmediate } from "node:timers/promises";
import { delay } from "../../lib/abort.ts";
import { TABLE } from "../../lib/service.ts";
import type { Rule } from "../desired.ts";
import { lifeSeconds, placeOf } from "./elements.ts";
import { askOnce } from "./nft.ts";
import { type Slot, setName, type Tuple } from "./sets.ts";

/** Address space of the reading nft, KiB: what it needs at all, and for each element (0.7 KiB measured). */
const READ_KIB = 65_536;
const READ_KIB_PER_ELEMENT = 2;
const READ_TIMEOUT_MS = 60_000;
/** Pause between two sets. */
const PACE_MS = 1_000;
/** Rules looked at before others get a turn. */
const SLICE = 10_000;
/** Lives may differ by this much, seconds: the kernel's clock runs on while a transaction is on its way. */
const SLACK_S = 5;
const MAX_TOLD = 5;

/** What the kernel's sets are compared by. */
export interface CompareOptions {
  /** Rules that the kernel is to hold, as they are at that moment. */
  readonly rules: () => Iterable<Rule>;
  readonly tuples: readonly Tuple[];
  readonly slot: Slot;
  /** Sets of more elements are left out. */
  readonly upTo: number;
  /** Registry time, integer milliseconds. */
  readonly now: () => number;
  readonly within: readonly string[];
  readonly signal: AbortSignal;
}

export interface Comparison {
  /** Names of sets that were left out for their size. */
  readonly skipped: readonly string[];
  /** Elements that somebody else added, took away or gave another life; the first few. */
  readonly foreign: readonly string[];
}

/**
 * Reads the gate's sets back, one at a time in a process of its own, and compares them with what they are to hold. An element counts as
 * foreign when it differs in two readings: what was on its way in one is there in the other.
 * @throws NftError when a set cannot be read, the signal's reason
 */
export async function compareSets(options: CompareOptions): Promise<Comparison> {
  const { tuples, slot, upTo, signal } = options;
  const sizes = await sizesOf(options);
  const skipped: string[] = [];
  for (const tuple of tuples) {
    const name = setName(tuple, slot);
    if ((sizes.get(name) ?? 0) > upTo) {
      skipped.push(name);
      continue;
    }
    const first = await differing(tuple, options);
    if (first.size > 0) {
      const again = await differing(tuple, options);
      const foreign = [...first].filter((difference) => again.has(difference));
      if (foreign.length > 0) return { skipped, foreign: foreign.slice(0, MAX_TOLD).map((difference) => `${name}: ${difference}`) };
    }
    await delay(PACE_MS, signal);
  }
  return { skipped, foreign: [] };
}

async function sizesOf({ rules, slot }: CompareOptions): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  let looked = 0;
  for (const { lane, prefix } of rules()) {
    const name = setName(placeOf(lane, prefix).tuple, slot);
    sizes.set(name, (sizes.get(name) ?? 0) + 1);
    if (++looked % SLICE === 0) await setImmediate();
  }
  return sizes;
}

async function differing(tuple: Tuple, options: CompareOptions): Promise<ReadonlySet<string>> {
  const { rules, slot, upTo, now, within, signal } = options;
  const name = setName(tuple, slot);
  const kib = READ_KIB + READ_KIB_PER_ELEMENT * upTo;
  const bounded = [...within, "nice", "-n", "19", "sh", "-c", `ulimit -v ${kib} && exec "$@"`, "sh"];
  const text = await askOnce(bounded, ["-j", "list", "set", "inet", TABLE, name], { timeoutMs: READ_TIMEOUT_MS, signal });
  const standing = elementsOf(JSON.parse(text));
  const differences = new Set<string>();
  let looked = 0;
  for (const { lane, prefix, expiresAt } of rules()) {
    if (++looked % SLICE === 0) await setImmediate();
    const place = placeOf(lane, prefix);
    if (setName(place.tuple, slot) !== name) continue;
    const lifeS = lifeSeconds(expiresAt, now()) ?? 0;
    const stands = standing.get(place.address);
    standing.delete(place.address);
    if (stands === undefined) {
      if (lifeS > SLACK_S) differences.add(`${place.address} is missing`);
    } else if (stands === null || stands > lifeS + SLACK_S) differences.add(`${place.address} lives longer than it may`);
  }
  for (const address of standing.keys()) differences.add(`${address} is none of the registry's`);
  return differences;
}

interface ListedElement {
  readonly elem: { readonly val: string; readonly expires?: number };
}

/** Remaining lives in seconds by address; null is forever (libnftables-json(5)). */
function elementsOf(listing: unknown): Map<string, number | null> {
  const { nftables = [] } = listing as { nftables?: { set?: { elem?: (string | ListedElement)[] } }[] };
  const elements = nftables.flatMap(({ set }) => set?.elem ?? []);
  return new Map(elements.map((one) => (typeof one === "string" ? [one, null] : [one.elem.val, one.elem.expires ?? null])));
}
