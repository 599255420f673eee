import { chmodSync, lstatSync, renameSync, rmSync } from "node:fs";
import type { RequestListener, Server, ServerOptions } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { connect, type ListenOptions, type Server as NetServer, type Socket } from "node:net";
import { dirname } from "node:path";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { makePrivateFolder } from "../../lib/file.ts";
import type { Log } from "../../lib/log.ts";
import { type Peers, peerOf } from "./identity.ts";

export const HTTP_LIMITS: ServerOptions = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 30_000,
};
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Agents with their feeds, and room for operators. */
const MAX_CONNECTIONS = 21_000;

/** A way in cannot be opened. */
export class EntranceError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "EntranceError";
  }
}

/** A listener of mutual TLS 1.3. Clients without a certificate of the infrastructure CA end in the handshake, before any HTTP. */
export function createTlsEntrance(tls: ControlTls, handler: RequestListener, peers: Peers, log: Log): TlsServer {
  const server = createTlsServer(
    {
      ...HTTP_LIMITS,
      ...secureContext(tls),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    },
    handler,
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on("secureConnection", (socket: TLSSocket) => peers.add(socket, peerOf(socket.getPeerX509Certificate())));
  server.on("tlsClientError", (error, socket) =>
    log.debug({ err: error, peer: socket.remoteAddress }, "Refused a client in the handshake"),
  );
  return server;
}

/** Key and certificate with its chain, PEM, and whose clients are taken. */
export interface ControlTls {
  readonly key: string;
  readonly certificate: string;
  readonly anchors: readonly string[];
}

/** What a handshake on control is made with. */
export const secureContext = ({ key, certificate, anchors }: ControlTls): SecureContextOptions => ({
  key,
  cert: certificate,
  // The infrastructure CAs alone: what another CA under the same root signed does not count.
  ca: [...anchors],
  minVersion: "TLSv1.3",
});

/** @throws EntranceError when the port cannot be had */
export async function listenOnPort(server: NetServer, address: string, port: number): Promise<void> {
  await listen(server, { host: address, port }).catch((cause: NodeJS.ErrnoException) => {
    throw new EntranceError(`Cannot listen on ${address} port ${port}: ${cause.code ?? cause.message}`, { cause });
  });
}

/**
 * Listens on a UNIX socket with mode 0600 in a folder with mode 0700. A socket file that nobody answers on is replaced.
 * @throws EntranceError when another program answers there, or the place is taken by something else
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  makePrivateFolder(dirname(path));
  chmodSync(dirname(path), 0o700);
  if (await isAnswered(path)) throw new EntranceError(`Cannot listen on ${path}: another registry answers there.`);
  // Bound under another name and renamed: the socket is never there with a wider mode, and never missing.
  const unready = `${path}.${process.pid}`;
  rmSync(unready, { force: true });
  try {
    await listen(server, { path: unready });
    chmodSync(unready, 0o600);
    renameSync(unready, path);
  } catch (cause) {
    throw new EntranceError(`Cannot listen on ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  server.once("close", () => rmSync(path, { force: true }));
}

/**
 * Follows the connections of a server from here on. The function that it gives takes no more of them, lets requests under way
 * end, and cuts what is left after `graceMs`: handshakes and upgraded connections too.
 */
export function closer(server: Server | TlsServer): (graceMs: number) => Promise<void> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  return async (graceMs) => {
    if (!server.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const timer = setTimeout(() => {
      for (const socket of open) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
  };
}

function listen(server: NetServer, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function isAnswered(path: string): Promise<boolean> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isSocket()) throw new EntranceError(`Cannot listen on ${path}: something that is no socket is there.`);
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code === "ECONNREFUSED" || cause.code === "ENOENT") resolve(false);
      else reject(new EntranceError(`Cannot tell whether another registry answers on ${path}: ${cause.code ?? cause.message}`, { cause }));
    });
  });
}
