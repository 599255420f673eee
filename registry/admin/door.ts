import { createServer, type RequestListener, type ServerResponse } from "node:http";
import { join } from "node:path";
import { Problem } from "../../lib/problem.ts";
import { PATH } from "../../lib/service.ts";
import type { RegistryConfig } from "../config.ts";
import { closer, HTTP_LIMITS, listenOnSocket } from "./entrance.ts";
import { Peers } from "./identity.ts";

/** Requests under way may take this long to end when the registry stops. */
export const GRACE_MS = 2_000;
const MAX_LOCAL_CONNECTIONS = 256;

/**
 * The local entrance: whoever can open the socket is the operator. It is opened before anything else is touched, because it is also
 * what keeps a second registry away from this one's Storage and lead.
 */
export interface LocalDoor extends AsyncDisposable {
  readonly path: string;
  readonly peers: Peers;
  /** Hands requests on from now on; until then they are told to come back. */
  open(handler: RequestListener): void;
}

/** @throws EntranceError when another registry answers there */
export async function claimLocalDoor({ runtimeDir }: Pick<RegistryConfig, "runtimeDir">): Promise<LocalDoor> {
  const path = join(runtimeDir, PATH.controlSocketName);
  const peers = new Peers();
  const actor = `socket:uid${process.getuid?.() ?? 0}`;
  let handler: RequestListener = (_request, response) => notReady(response);
  const server = createServer(HTTP_LIMITS, (request, response) => handler(request, response));
  server.maxConnections = MAX_LOCAL_CONNECTIONS;
  server.on("connection", (socket) => peers.add(socket, { kind: "socket", actor }));
  const close = closer(server);
  await listenOnSocket(server, path);
  return {
    path,
    peers,
    open: (next) => {
      handler = next;
    },
    [Symbol.asyncDispose]: () => close(GRACE_MS),
  };
}

function notReady(response: ServerResponse): void {
  const problem = new Problem(503, "starting", "The registry is starting: try again in a moment.");
  response.writeHead(problem.status, { "content-type": "application/problem+json", connection: "close" }).end(JSON.stringify(problem));
}
