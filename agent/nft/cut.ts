import { TABLE } from "../../lib/service.ts";
import type { Flow } from "../target.ts";

/**
 * How long a flow stays cut: longer than the terminator keeps a socket whose client acknowledges nothing (30 s), or a connection that
 * idles (60 s), so that none goes on afterwards.
 */
const CUT_S = 120;
/** Flows in one transaction. */
const MAX_FLOWS = 1_000;

/** Transactions that put flows into the cut sets. */
export function cutScripts(flows: readonly Flow[]): string[] {
  const scripts: string[] = [];
  for (let at = 0; at < flows.length; at += MAX_FLOWS) {
    const part = flows.slice(at, at + MAX_FLOWS);
    scripts.push(([4, 6] as const).flatMap((family) => addFlows(family, part)).join("\n"));
  }
  return scripts;
}

function addFlows(family: 4 | 6, flows: readonly Flow[]): string[] {
  const elements = flows.filter((flow) => flow.family === family).map(({ address, port }) => `${address} . ${port} timeout ${CUT_S}s`);
  return elements.length === 0 ? [] : [`add element inet ${TABLE} cut${family} { ${elements.join(", ")} }`];
}
