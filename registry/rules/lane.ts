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

/**
 * Whether a pattern goes with a certificate or without. One that admits by address alone signs nothing: a certificate that nobody asks
 * for would only be one more thing to lose.
 * @throws Problem certificate_not_offered | certificate_required
 */
export function assertCertificate(pattern: Pattern, requested: boolean): void {
  if (pattern === "ip" && requested)
    throw new Problem(422, "certificate_not_offered", "This profile admits by address alone: leave the csr out.");
  if (pattern !== "ip" && !requested)
    throw new Problem(422, "certificate_required", "This profile admits with a certificate: send a csr, the request to sign.");
}

/**
 * As {@link assertCertificate}, for a renewal: it may leave a certificate as it is, unless there is nothing else to renew.
 * @throws Problem certificate_not_offered | certificate_required
 */
export function assertRenewable(pattern: Pattern, requested: boolean): void {
  if (pattern === "ip" || pattern === "cert") assertCertificate(pattern, requested);
}

/** True when a submission of that pattern may come without addresses: its certificate admits from anywhere. */
export const needsNoAddress = (pattern: Pattern): boolean => pattern === "cert" || pattern === "either";
