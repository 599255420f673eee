import type { RequestListener } from "node:http";
import type { Server } from "node:https";
import { createAdminApp } from "./app.ts";
import { GRACE_MS, type LocalDoor } from "./door.ts";
import { closer, createTlsEntrance, listenOnPort } from "./entrance.ts";
import type { AdminParts, FeedFacts } from "./parts.ts";

export interface StartAdmin extends Omit<AdminParts, "feed" | "actorOf" | "isLocal"> {
  readonly door: LocalDoor;
  /** The control listener's key and certificate with its chain, PEM. */
  readonly tls: { readonly key: string; readonly certificate: string };
  /** Attaches the feed to the control listener, before it listens. */
  startFeed(server: Server): Promise<FeedFacts & AsyncDisposable>;
}

/**
 * Opens both ways into control: the local door, and mutual TLS with the feed on it. Resolves when both answer.
 * @throws EntranceError
 */
export async function startAdmin({ door, tls, startFeed, ...parts }: StartAdmin): Promise<AsyncDisposable> {
  const { config, log, ca } = parts;
  const handler: RequestListener = (request, response) => app.routing(request, response);
  const control = createTlsEntrance({ ...tls, anchor: await ca.makeAnchor() }, handler, door.peers, log);
  const closeControl = closer(control);

  await using stack = new AsyncDisposableStack();
  const feed = await startFeed(control);
  // The feed ends while its listener closes: its connections are what the listener would otherwise wait for.
  stack.defer(async () => {
    await Promise.all([closeControl(GRACE_MS), feed[Symbol.asyncDispose]()]);
  });
  const app = await createAdminApp({ ...parts, feed }, door.peers);
  stack.defer(() => app.close());
  await listenOnPort(control, config.control.address, config.control.port);
  door.open(handler);
  // Local requests under way end before what they work with does.
  stack.use(door);
  return stack.move();
}
