import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { FEED } from "../../lib/feed/limits.ts";
import { URN } from "../../lib/service.ts";
import { issuerNameIn } from "../ca/issuer-of.ts";
import { isAgents } from "../process/agents.ts";
import type { Store } from "../store/store.ts";

/** Whom a feed is for, of which CA its certificate is (common name), and until when, integer milliseconds. */
export interface Admitted {
  readonly name: string;
  readonly issuer: string;
  readonly notAfter: number;
}

/** The agent when the request may become a feed: its own role's certificate, enrolled, not revoked, and no browser (Origin). */
export async function admit(request: IncomingMessage, store: Store, now: number): Promise<Admitted | null> {
  if (request.url !== FEED.path || request.headers.origin !== undefined) return null;
  const certificate = (request.socket as TLSSocket).getPeerX509Certificate();
  const name = /^URI:urn:entityos:agent:([a-z0-9.-]{1,63})$/.exec(certificate?.subjectAltName ?? "")?.[1];
  if (certificate === undefined || name === undefined || !certificate.subjectAltName?.startsWith(`URI:${URN.agent}`)) return null;
  const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
  if (!(await store.read((db) => isAgents(db, { name, fingerprint, now })))) return null;
  return { name, issuer: issuerNameIn(certificate.toString()), notAfter: Date.parse(certificate.validTo) };
}

/** Answers and lets go of the connection; a client that keeps its side open keeps nothing here. */
export function refuse(socket: Duplex): void {
  socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", () => socket.destroy());
}
