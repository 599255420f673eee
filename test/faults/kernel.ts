import { inNetns, run } from "../lab/exec.ts";

interface Element {
  readonly val: unknown;
  readonly expires?: number;
}

/** Every element of the gate's sets in a host's kernel, by "lane prefix": the seconds that it has left, null for an element without end. */
export async function readElements(netns: string): Promise<ReadonlyMap<string, number | null>> {
  const listed = JSON.parse(await run(inNetns(netns, ["nft", "-j", "list", "table", "inet", "entityos"]))) as {
    nftables: { set?: { name: string; elem?: readonly (string | { elem: Element })[] } }[];
  };
  const elements = new Map<string, number | null>();
  for (const { set } of listed.nftables) {
    const [, lane, length] = /^(ip|ipcert)_v[46]_(\d+)_[ab]$/.exec(set?.name ?? "") ?? [];
    if (set === undefined || lane === undefined) continue;
    for (const entry of set.elem ?? []) {
      const element: Element = typeof entry === "string" ? { val: entry } : entry.elem;
      elements.set(`${lane} ${String(element.val)}/${length}`, element.expires ?? null);
    }
  }
  return elements;
}

/**
 * How much longer and shorter an element may live than its rule. Longer: by what nft takes for a script, which is killed after two
 * seconds, and later on a machine where it proved slow. Shorter: whole seconds are written and listed, rounded down, and told late.
 */
const LONGER_S = 5;
const SHORTER_S = 4;

/** What differs between the kernel's elements and the rules that must stand; nothing when they agree. */
export function differences(
  elements: ReadonlyMap<string, number | null>,
  rules: ReadonlyMap<string, number>,
  now: number,
): readonly string[] {
  const found: string[] = [];
  for (const [key, expires] of elements) {
    const left = ((rules.get(key) ?? now) - now) / 1_000;
    if (!rules.has(key)) found.push(`${key} stands and must not`);
    else if (expires === null) found.push(`${key} stands for ever`);
    else if (expires > left + LONGER_S) found.push(`${key} lives for ${expires} s, granted are ${left.toFixed(1)} s`);
    else if (expires < left - SHORTER_S) found.push(`${key} lives for ${expires} s only, granted are ${left.toFixed(1)} s`);
  }
  for (const [key, expiresAt] of rules) {
    if (!elements.has(key) && expiresAt - now > SHORTER_S * 1_000)
      found.push(`${key} is missing, granted are ${(expiresAt - now) / 1_000} s`);
  }
  return found;
}
