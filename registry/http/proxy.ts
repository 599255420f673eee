import type { Server } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { contains, type Prefix, parseAddress, prefixOf } from "../../lib/ip.ts";
import type { Log } from "../../lib/log.ts";
import { REGISTER } from "./limits.ts";
import { clientAddress, HEAD_BYTES, type ProxyHead, ProxyHeaderError, parseProxyHead } from "./proxy-header.ts";

/**
 * Lets load balancers in `proxies` say whom they speak for: each of their connections begins with a PROXY header, version 2, and is
 * from then on the client's, in address and in limits. Whoever else sends one sends no TLS; a load balancer that sends none, or
 * anything but TCP, is cut. Nothing is read beyond the header before TLS, for a bounded time. Call it last of all that listens to
 * the server's connections.
 */
export function behindProxies(server: Server, proxies: readonly Prefix[], log: Log): void {
  if (proxies.length === 0) return;
  const takers = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  const take = (socket: Socket): void => {
    for (const taker of takers) taker.call(server, socket);
  };
  /** Clients by the address and port that their load balancer speaks from: what both sockets of one connection have in common. */
  const clients = new Map<string, string>();
  server.on("connection", (socket: Socket) => {
    const peer = socket.remoteAddress;
    if (peer === undefined || !isWithin(peer, proxies)) return take(socket);
    const key = keyOf(socket);
    socket.once("close", () => clients.delete(key));
    readHeader(socket)
      .then((client) => {
        if (socket.destroyed) return;
        if (client !== null) {
          clients.set(key, client);
          speakFor(socket, client);
        }
        take(socket);
      })
      .catch((error: unknown) => {
        log.warn({ proxy: peer, reason: error instanceof Error ? error.message : String(error) }, "Cut a load balancer's connection");
        socket.destroy();
      });
  });
  server.prependListener("secureConnection", (secure: TLSSocket) => {
    const client = clients.get(keyOf(secure));
    if (client !== undefined) speakFor(secure, client);
  });
}

const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress ?? ""} ${remotePort ?? 0}`;

/** From now on the socket's peer is the client, for whoever asks. */
const speakFor = (socket: Socket, client: string): void => void Object.defineProperty(socket, "remoteAddress", { value: client });

function isWithin(text: string, networks: readonly Prefix[]): boolean {
  const { family, address } = parseAddress(text.replace(/%.*$/, ""));
  const own = prefixOf(family, address, family === 4 ? 32 : 128);
  return networks.some((network) => contains(network, own));
}

/** Takes the header off a connection; what follows stays in the socket. @throws ProxyHeaderError */
function readHeader(socket: Socket): Promise<string | null> {
  return new Promise((resolve, reject) => {
    let head: ProxyHead | null = null;
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
      settle();
    };
    const onEnd = (): void => finish(() => reject(new ProxyHeaderError("ended within the header")));
    const onReadable = (): void => {
      try {
        if (head === null) {
          const bytes: Buffer | null = socket.read(HEAD_BYTES);
          if (bytes === null) return;
          head = parseProxyHead(bytes);
        }
        const rest: Buffer | null = head.length === 0 ? Buffer.alloc(0) : socket.read(head.length);
        if (rest === null) return;
        const client = clientAddress(head, rest);
        finish(() => resolve(client));
      } catch (error) {
        finish(() => reject(error));
      }
    };
    const late = (): void => finish(() => reject(new ProxyHeaderError("no header in time")));
    const timer = setTimeout(late, REGISTER.proxyHeaderTimeoutMs);
    // Whatever breaks the connection ends it; it is told by "close".
    socket.on("error", () => {});
    socket.on("readable", onReadable).on("end", onEnd).on("close", onEnd);
  });
}
