import { Problem } from "../../lib/problem.ts";
import type { RuleLane } from "../../lib/service.ts";
import type { Database } from "../store/schema.ts";

export type Pattern = Database["profiles"]["pattern"];

/**
 * The lane that a pattern's addresses stand in.
 * @throws Problem addresses_not_offered for `cert`, which admits from anywhere
 */
export function laneOf(pattern: Pattern): RuleLane {
  switch (pattern) {
    case "ip":
    case "either":
      return "ip";
    case "both":
      return "ipcert";
    case "cert":
      throw new Problem(
        422,
        "addresses_not_offered",
        "This profile admits by certificate from any address: leave the addresses out and send a CSR.",
      );
    default:
      return pattern satisfies never;
  }
}
