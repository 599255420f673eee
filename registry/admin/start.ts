import type { RequestListener } from "node:http";
import type { Server } from "node:https";
import { join } from "node:path";
import { PATH } from "../../lib/service.ts";
import { createAdminApp } from "./app.ts";
import { closer, createSocketEntrance, createTlsEntrance, listenOnPort, listenOnSocket } from "./entrance.ts";
import { Peers } from "./identity.ts";
import type { AdminParts, FeedFacts } from "./parts.ts";

/** Requests under way may take this long to end when the registry stops. */
const GRACE_MS = 2_000;

export interface StartAdmin extends Omit<AdminParts, "feed" | "actorOf" | "isLocal"> {
  /** The control listener's key and certificate with its chain, PEM. */
  readonly tls: { readonly key: string; readonly certificate: string };
  /** Attaches the feed to the control listener, before it listens. */
  startFeed(server: Server): Promise<FeedFacts & AsyncDisposable>;
}

export interface Admin extends AsyncDisposable {
  readonly socketPath: string;
}

/**
 * Opens both ways into control: the local socket, and mutual TLS with the feed on it. Resolves when both listen.
 * @throws EntranceError
 */
export async function startAdmin({ tls, startFeed, ...parts }: StartAdmin): Promise<Admin> {
  const { config, log, ca } = parts;
  const peers = new Peers();
  const handler: RequestListener = (request, response) => app.routing(request, response);
  const control = createTlsEntrance({ ...tls, anchor: await ca.makeAnchor() }, handler, peers, log);
  const local = createSocketEntrance(handler, peers);
  const closeControl = closer(control);
  const closeLocal = closer(local);
  const socketPath = join(config.runtimeDir, PATH.controlSocketName);

  await using stack = new AsyncDisposableStack();
  const feed = await startFeed(control);
  // The feed ends while its listener closes: its connections are what the listener would otherwise wait for.
  stack.defer(async () => {
    await Promise.all([closeControl(GRACE_MS), feed[Symbol.asyncDispose]()]);
  });
  const app = await createAdminApp({ ...parts, feed }, peers);
  stack.defer(() => app.close());
  stack.defer(() => closeLocal(GRACE_MS));
  await listenOnSocket(local, socketPath);
  await listenOnPort(control, config.control.address, config.control.port);
  const started = stack.move();
  return { socketPath, [Symbol.asyncDispose]: () => started.disposeAsync() };
}
