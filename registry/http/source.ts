import type { Socket } from "node:net";
import type { FastifyRequest } from "fastify";
import { parseAddress, prefixOf } from "../../lib/ip.ts";

/** The peer's canonical address, from the socket and never from a header. */
export function observedAddress(request: FastifyRequest): { family: 4 | 6; address: string } {
  return parseAddress(withoutZone(request.socket.remoteAddress ?? ""));
}

/** What limits count as one source: an IPv4 address, an IPv6 /64. */
export function sourceOf(request: FastifyRequest): string {
  return sourceAt(observedAddress(request));
}

/** As {@link sourceOf}, of a connection; null when it is closed already. */
export function sourceOfSocket({ remoteAddress }: Pick<Socket, "remoteAddress">): string | null {
  return remoteAddress === undefined ? null : sourceAt(parseAddress(withoutZone(remoteAddress)));
}

const sourceAt = ({ family, address }: { family: 4 | 6; address: string }): string =>
  prefixOf(family, address, family === 4 ? 32 : 64).text;

// A link-local peer's address carries the zone of our own interface.
const withoutZone = (address: string): string => address.replace(/%.*$/, "");
