import { contains, type Prefix, parseAddress, parsePrefix, prefixOf } from "../../lib/ip.ts";
import { Problem } from "../../lib/problem.ts";
import { assertOrdinary } from "./special.ts";

/** Which addresses a profile lets a device register, and how many. */
export interface AddressPolicy {
  /** The peer's own address, any address, or addresses within these networks. */
  readonly addresses: "observed" | "any" | readonly Prefix[];
  readonly maxAddresses: number;
  /** Length of the widest prefix per family. */
  readonly widest4: number;
  readonly widest6: number;
  /** Length of the prefix that an observed IPv6 address is registered with: 64 or 128. */
  readonly observed6: number;
}

const OBSERVED: ReadonlySet<string> = new Set(["observed", "observed4", "observed6"]);

/**
 * The prefixes that a submission registers, canonical and each once, in the order sent.
 * @param requested as sent: "observed" (the peer's own), "observed4" and "observed6" (of that family), or prefixes
 * @param observed canonical addresses that the client was observed at, the peer's first
 * @param allowed networks that may be registered although they are special
 * @throws Problem nothing_requested | addresses_too_many | prefix_too_wide | address_not_observed | address_outside_profile,
 *   those of {@link parsePrefix} and of {@link assertOrdinary}
 */
export function requestedPrefixes(
  requested: readonly string[],
  observed: readonly string[],
  policy: AddressPolicy,
  allowed: readonly Prefix[],
): readonly Prefix[] {
  if (requested.length === 0) throw new Problem(422, "nothing_requested", "Nothing to register: send addresses.");
  if (requested.length > policy.maxAddresses) {
    const { maxAddresses } = policy;
    throw new Problem(
      422,
      "addresses_too_many",
      `This profile registers at most ${maxAddresses} addresses, and ${requested.length} were sent: leave some out.`,
    );
  }
  const own = observed.map((address) => observedPrefix(address, policy.observed6));
  const prefixes = new Map<string, Prefix>();
  for (const text of requested) {
    const prefix = namedPrefix(text, own) ?? parsePrefix(text);
    assertOrdinary(prefix, allowed);
    assertNotTooWide(prefix, policy);
    assertWithin(prefix, own, policy.addresses);
    prefixes.set(prefix.text, prefix);
  }
  return [...prefixes.values()];
}

/** What an observed word stands for; null when the text is none. @throws Problem address_not_observed */
function namedPrefix(text: string, own: readonly Prefix[]): Prefix | null {
  if (!OBSERVED.has(text)) return null;
  const found = text === "observed" ? own[0] : own.find(({ family }) => text === `observed${family}`);
  if (found !== undefined) return found;
  throw new Problem(
    422,
    "address_not_observed",
    `No IPv${text.slice(-1)} address was observed: connect over it, or send its ticket from GET /v1/address.`,
  );
}

/** What an observed address is registered as: IPv4 alone, IPv6 with its /64 (or alone when `observed6` is 128). */
export function observedPrefix(observed: string, observed6: number): Prefix {
  const { family, address } = parseAddress(observed);
  return prefixOf(family, address, family === 4 ? 32 : observed6);
}

function assertNotTooWide(prefix: Prefix, { widest4, widest6 }: AddressPolicy): void {
  const widest = prefix.family === 4 ? widest4 : widest6;
  if (prefix.length >= widest) return;
  throw new Problem(422, "prefix_too_wide", `The prefix ${prefix.text} is too wide: the widest in this profile is /${widest}.`);
}

function assertWithin(prefix: Prefix, own: readonly Prefix[], addresses: AddressPolicy["addresses"]): void {
  if (addresses === "any") return;
  if (addresses === "observed") {
    if (own.some((observed) => contains(observed, prefix))) return;
    throw new Problem(
      422,
      "address_not_observed",
      `This profile registers the address that a request comes from, and this one did not come from ${prefix.text}: send "observed".`,
    );
  }
  if (addresses.some((network) => contains(network, prefix))) return;
  throw new Problem(
    422,
    "address_outside_profile",
    `The address ${prefix.text} is outside this profile's networks: connect from one of them, or ask the operator for another profile.`,
  );
}
