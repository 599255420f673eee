import type { Socket } from "node:net";
import type { FastifyRequest } from "fastify";
import { parseAddress, prefixOf } from "../../lib/ip.ts";

interface Peer {
  readonly observed: { readonly family: 4 | 6; readonly address: string };
  readonly source: string;
}

/** What was made of addresses lately: a request asks several times, and a connection brings many requests. */
const peers = new Map<string, Peer>();
const MAX_PEERS = 4_096;

function peerAt(remoteAddress: string): Peer {
  let peer = peers.get(remoteAddress);
  if (peer === undefined) {
    const observed = parseAddress(withoutZone(remoteAddress));
    peer = { observed, source: sourceAt(observed) };
    if (peers.size >= MAX_PEERS) peers.clear();
    peers.set(remoteAddress, peer);
  }
  return peer;
}

/** The peer's canonical address, from the socket and never from a header. */
export const observedAddress = (request: FastifyRequest): Peer["observed"] => peerAt(request.socket.remoteAddress ?? "").observed;

/** What limits count as one source: an IPv4 address, an IPv6 /64. */
export const sourceOf = (request: FastifyRequest): string => peerAt(request.socket.remoteAddress ?? "").source;

/** As {@link sourceOf}, of a connection; null when it is closed already. */
export function sourceOfSocket({ remoteAddress }: Pick<Socket, "remoteAddress">): string | null {
  return remoteAddress === undefined ? null : peerAt(remoteAddress).source;
}

const sourceAt = ({ family, address }: { family: 4 | 6; address: string }): string =>
  prefixOf(family, address, family === 4 ? 32 : 64).text;

// A link-local peer's address carries the zone of our own interface.
const withoutZone = (address: string): string => address.replace(/%.*$/, "");
