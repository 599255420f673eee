import type { RequestListener } from "node:http";
import type { Server } from "node:https";
import { createAdminApp } from "./app.ts";
import { GRACE_MS, type LocalDoor } from "./door.ts";
import { closer, createTlsEntrance, listenOnPort, secureContext } from "./entrance.ts";
import type { AdminParts, FeedFacts } from "./parts.ts";

export interface StartAdmin extends Omit<AdminParts, "feed" | "actorOf" | "isLocal"> {
  readonly door: LocalDoor;
  /** The control listener's key and certificate with its chain, PEM. */
  readonly tls: { readonly key: string; readonly certificate: string };
  /** Attaches the feed to the control listener, before it listens. */
  startFeed(server: Server): Promise<FeedFacts & AsyncDisposable>;
}

export interface StartedAdmin extends AsyncDisposable {
  /** Shows another certificate from the next handshake on; open connections and feeds go on. */
  useTls(tls: { readonly key: string; readonly certificate: string }): void;
  /** Takes clients of every infrastructure CA that there is now. */
  followAnchors(): Promise<void>;
  /** True once clients of that infrastructure CA are taken. */
  takes(ca: string): boolean;
}

/**
 * Opens both ways into control: the local door, and mutual TLS with the feed on it. Resolves when both answer.
 * @throws EntranceError
 */
export async function startAdmin({ door, tls, startFeed, ...parts }: StartAdmin): Promise<StartedAdmin> {
  const { config, log, authorities } = parts;
  const handler: RequestListener = (request, response) => app.routing(request, response);
  let shown = tls;
  let anchors = await authorities.anchors();
  const context = () => ({ ...shown, anchors: anchors.map(({ pem }) => pem) });
  const control = createTlsEntrance(context(), handler, door.peers, log);
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
  const started = stack.move();
  return {
    useTls: (next) => {
      shown = next;
      control.setSecureContext(secureContext(context()));
    },
    followAnchors: async () => {
      anchors = await authorities.anchors();
      control.setSecureContext(secureContext(context()));
    },
    takes: (ca) => anchors.some(({ id }) => id === ca),
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}
