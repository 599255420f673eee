import type { ExchangeOptions } from "./bounds.ts";
import { floorStructure } from "./floor-rules.ts";
import { type GateSource, gateStructure } from "./gate.ts";
import { askScript } from "./nft.ts";
import { USUAL_TUPLES } from "./sets.ts";
import { type Structure, structureText } from "./structure.ts";

/** Never made: nft and kernel are asked whether they would. */
const SCRATCH = "entityos_check";

/**
 * Asks nft and the kernel whether they would take the tables of this configuration. Changes nothing.
 * @throws NftError with nft's words when they would not
 */
export async function checkGate(config: GateSource, within: readonly string[], bounds: ExchangeOptions): Promise<void> {
  const gate = gateStructure(config, USUAL_TUPLES, "a");
  const tables: Structure[] = config.zone === "open" ? [gate] : [gate, floorStructure([config.gate])];
  // Under another name: of the standing table nft might read every element in, and the floor is its holder's.
  const script = tables.map((table, at) => structureText({ ...table, table: `${SCRATCH}_${at}`, flags: null })).join("\n");
  await askScript(within, script, bounds);
}
