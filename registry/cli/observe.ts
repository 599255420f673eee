import { Problem } from "../../lib/problem.ts";
import { UsageError } from "./command.ts";
import { ask, ConnectionError, type Endpoint, isRecord } from "./http.ts";
import { tlsEndpoint } from "./tls.ts";

/** Word for both families, those of them that the registry is reached over. */
export const DUAL_STACK = "dual-stack";
/** The registry must say within this whence a request came; a family that is not routed often swallows packets. */
const ASK_MS = 5_000;

/** Where the registry is. */
export interface Places {
  readonly url: string;
  /** Names of its that have one family only; null where {@link url} has both. */
  readonly url4: string | null;
  readonly url6: string | null;
  readonly ca: string | null;
}

/** How to send what was asked for. */
export interface Observed {
  readonly addresses: readonly string[];
  readonly observations: readonly string[];
  readonly endpoint: Endpoint;
}

/** Options of every command that registers addresses. */
export const ADDRESS_OPTIONS = {
  address: { type: "string", multiple: true },
  "dual-stack": { type: "boolean", default: false },
  "no-addresses": { type: "boolean", default: false },
  url4: { type: "string" },
  url6: { type: "string" },
} as const;

export const ADDRESS_HELP = `Addresses
  --address A       observed (the one that this device connects from), observed4, observed6, or a prefix; may be repeated
  --dual-stack      both families, those of them that the registry is reached over
  --no-addresses    none: where a certificate alone admits, from anywhere
  --url4, --url6 U  the registry's names for IPv4 only and IPv6 only, when --url has not both`;

/** What was asked for, in the words of {@link observe}; null when nothing was. @throws UsageError */
export function askedAddresses(values: {
  readonly address?: string[] | undefined;
  readonly "dual-stack": boolean;
  readonly "no-addresses": boolean;
}): readonly string[] | null {
  const { address, "dual-stack": dual, "no-addresses": none } = values;
  if ([address !== undefined, dual, none].filter(Boolean).length > 1)
    throw new UsageError("--address, --dual-stack and --no-addresses exclude each other.");
  if (none) return [];
  return dual ? [DUAL_STACK] : (address ?? null);
}

/**
 * Asks over each family that is needed whence this device is seen, and keeps the tickets that say so.
 * @throws ConnectionError when a family that was named, or both, reach no registry
 */
export async function observe(asked: readonly string[], places: Places): Promise<Observed> {
  const { url, ca } = places;
  const dual = asked.includes(DUAL_STACK);
  const families = ([4, 6] as const).filter((family) => dual || asked.includes(`observed${family}`));
  const found: { readonly family: 4 | 6; readonly ticket: string; readonly endpoint: Endpoint }[] = [];
  let failed: unknown = null;
  for (const family of families) {
    const endpoint = tlsEndpoint(places[`url${family}`] ?? url, { ca: ca ?? undefined }, "url", family);
    try {
      found.push({ family, ticket: await ticketOver(endpoint, family), endpoint });
    } catch (error) {
      if (!dual || !(error instanceof ConnectionError) || !error.retry) throw error;
      failed ??= error;
    }
  }
  const [first] = found;
  if (first === undefined) {
    if (families.length > 0) throw failed;
    return { addresses: asked, observations: [], endpoint: tlsEndpoint(url, { ca: ca ?? undefined }, "url") };
  }
  const addresses = dual ? found.map(({ family }) => `observed${family}`) : asked;
  return { addresses, observations: found.map(({ ticket }) => ticket), endpoint: first.endpoint };
}

async function ticketOver(endpoint: Endpoint, family: 4 | 6): Promise<string> {
  const { body } = await ask(endpoint, { method: "GET", path: "/v1/address", timeoutMs: ASK_MS });
  if (isRecord(body) && body.family === family && typeof body.ticket === "string") return body.ticket;
  throw new Problem(502, "answer_unreadable", `${endpoint.what} does not say at which IPv${family} address it sees this device.`);
}
