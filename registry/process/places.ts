import type { Prefix } from "../../lib/ip.ts";
import type { RuleLane } from "../../lib/service.ts";
import { laneOf, needsNoAddress } from "../rules/lane.ts";
import { requestedPrefixes } from "../rules/policy.ts";
import type { Database } from "../store/schema.ts";
import { addressPolicy } from "./profiles.ts";
import type { Work } from "./work.ts";

/** A prefix in the lane that it is to stand in. */
export interface Place {
  readonly lane: RuleLane;
  readonly prefix: Prefix;
}

/**
 * Where a submission wants its device let in from.
 * @throws Problem addresses_not_offered, and those of {@link requestedPrefixes}
 */
export function requestedPlaces({ submission, observed, allowed }: Work, profile: Database["profiles"]): readonly Place[] {
  const { addresses } = submission;
  if (addresses.length === 0 && needsNoAddress(profile.pattern)) return [];
  const lane = laneOf(profile.pattern);
  return requestedPrefixes(addresses, observed, addressPolicy(profile), allowed).map((prefix) => ({ lane, prefix }));
}
