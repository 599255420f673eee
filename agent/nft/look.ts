import { TABLE } from "../../lib/service.ts";
import { OWN_CHAIN } from "./own.ts";

interface Listed {
  readonly family?: string;
  readonly table?: string;
  readonly name?: string;
  readonly chain?: string;
  readonly handle?: number;
}

interface View {
  /** Handle of the rule that our last change of rules ended with. */
  readonly own: number | null;
  /** Everything else that decides about packets: table, chains with hooks and policies, rules by handle. */
  readonly rest: string;
}

/**
 * Compares listings of the structure, one after the other. The kernel never gives a handle out twice, so a rule that was replaced
 * is seen without reading what it says.
 */
export class StructureLook {
  #last: View | null = null;

  /**
   * Takes a listing in (`list ruleset inet`, as `nft -j -t` tells it).
   * @returns what somebody else did since the last one; null when nothing, or when the change was ours
   */
  take(listing: unknown): string | null {
    const last = this.#last;
    const view = viewOf(listing);
    this.#last = view;
    if (last === null) return null;
    if (view === null) return "the table is gone";
    // A change of ours in between writes the rules anew; what else happened in the same moment is the monitor's to hear.
    if (view.own !== last.own || view.rest === last.rest) return null;
    return "rules were changed by somebody else";
  }
}

function viewOf(listing: unknown): View | null {
  let own: number | null = null;
  const rest: unknown[] = [];
  for (const entry of (listing as { nftables?: Record<string, Listed>[] }).nftables ?? []) {
    const { table, chain, rule } = entry;
    if (table !== undefined && table.family === "inet" && table.name === TABLE) rest.push(table);
    else if (chain !== undefined && chain.family === "inet" && chain.table === TABLE) rest.push(chain);
    else if (rule !== undefined && rule.family === "inet" && rule.table === TABLE) {
      if (rule.chain === OWN_CHAIN) own = rule.handle ?? null;
      else rest.push([rule.chain, rule.handle]);
    }
  }
  return rest.length === 0 ? null : { own, rest: JSON.stringify(rest) };
}
