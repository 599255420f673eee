import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { URN } from "../../lib/service.ts";

/** Who is at the other end of a connection, told by the connection itself and by nothing that is sent over it. */
export type Peer =
  /** The local socket, which only its owner and root can open. */
  | { readonly kind: "socket"; readonly actor: string }
  | { readonly kind: "operator"; readonly name: string; readonly fingerprint: string }
  | { readonly kind: "agent"; readonly name: string; readonly fingerprint: string }
  /** May read metrics and nothing else. */
  | { readonly kind: "metrics"; readonly name: string; readonly fingerprint: string }
  /** A certificate of ours that is for none of them. */
  | { readonly kind: "other" };

const ROLES = ["operator", "agent", "metrics"] as const;
const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** What a verified client certificate of the infrastructure CA says: its one SAN, a URI of ours. */
export function peerOf(certificate: X509Certificate | undefined): Peer {
  const san = certificate?.subjectAltName ?? "";
  for (const kind of ROLES) {
    const prefix = `URI:${URN[kind]}`;
    const name = san.slice(prefix.length);
    if (certificate === undefined || !san.startsWith(prefix) || !NAME.test(name)) continue;
    return { kind, name, fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase() };
  }
  return { kind: "other" };
}

/** Peers by their connection: filled where connections are accepted, so that a connection from anywhere else is nobody. */
export class Peers {
  readonly #peers = new WeakMap<Socket, Peer>();

  add(socket: Socket, peer: Peer): void {
    this.#peers.set(socket, peer);
  }

  of(socket: Socket): Peer {
    return this.#peers.get(socket) ?? { kind: "other" };
  }
}
