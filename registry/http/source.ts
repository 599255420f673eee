import type { FastifyRequest } from "fastify";
import { parseAddress, prefixOf } from "../../lib/ip.ts";

/** The peer's canonical address, from the socket and never from a header. */
export function observedAddress(request: FastifyRequest): { family: 4 | 6; address: string } {
  // A link-local peer's address carries the zone of our own interface.
  return parseAddress((request.socket.remoteAddress ?? "").replace(/%.*$/, ""));
}

/** What limits count as one source: an IPv4 address, an IPv6 /64. */
export function sourceOf(request: FastifyRequest): string {
  const { family, address } = observedAddress(request);
  return prefixOf(family, address, family === 4 ? 32 : 64).text;
}
