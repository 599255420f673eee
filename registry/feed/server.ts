import type { IncomingMessage } from "node:http";
import type { Server } from "node:https";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { AgentFeed } from "../../lib/admin/api.ts";
import type { Clock } from "../../lib/clock.ts";
import { CLOSE, FEED } from "../../lib/feed/limits.ts";
import { encode } from "../../lib/feed/messages.ts";
import type { Log } from "../../lib/log.ts";
import type { Metrics } from "../../lib/metrics.ts";
import type { RegistryConfig } from "../config.ts";
import type { Store } from "../store/store.ts";
import { AckWriter } from "./acks.ts";
import { type Admitted, admit, refuse } from "./admit.ts";
import { LeavingIssuers } from "./leaving.ts";
import { feedMetrics, NO_FEED_METRICS } from "./metrics.ts";
import { Peer, type PeerParts } from "./peer.ts";
import { Publisher } from "./publisher.ts";
import { Roster } from "./roster.ts";
import { Snapshots } from "./snapshot.ts";
import { type Spread, SpreadTimer } from "./spread.ts";

/** Agents with a feed at one time. */
const MAX_FEEDS = 20_000;
/** Agents that are sent away together come back over a window of this much for each, within bounds. */
const SPREAD_PER_AGENT_MS = 5;
const MIN_SPREAD_MS = 500;
const MAX_SPREAD_MS = 30_000;

export interface Feed extends AsyncDisposable {
  /** Agents with a live feed. */
  agents(): readonly (AgentFeed & { readonly name: string })[];
  /** How long the newest timed revision took until it stood on every connected host; null while none was timed. */
  spread(): Spread | null;
  /** Agents whose feed came with a certificate of the CA of that common name. */
  showing(issuer: string): readonly string[];
  /** Ends an agent's feed: after its certificate was revoked. */
  disconnect(name: string): void;
}

export interface FeedParts {
  /** The control listener: mutual TLS is its job, roles are checked here. */
  readonly server: Server;
  readonly config: RegistryConfig;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Metrics;
}

/** Serves the feed at `FEED.path` of the control listener, to agents alone (docs/protocol.md). */
export async function startFeed({ server, config, store, clock, log, metrics }: FeedParts): Promise<Feed> {
  const { heartbeatMs } = config.feed;
  const roster = new Roster(clock, log);
  const told = metrics === undefined ? NO_FEED_METRICS : feedMetrics(metrics, () => Array.from(roster.greeted(), (peer) => peer.fact));
  const spread = new SpreadTimer(clock, ({ ms }) => told.spread.observe(ms / 1_000));
  // Before the publisher: a head that moves while it starts is told at once, to nobody yet.
  const behind = function* (): Generator<string> {
    for (const { fact } of roster.greeted()) if (fact.phase === "live" && fact.revision < publisher.head.revision) yield fact.name;
  };
  const publisher = await Publisher.start(store, clock, log, (head) => spread.head(head.revision, behind));
  const snapshots = new Snapshots(store, clock, log);
  const acks = new AckWriter(store, log);
  const parts: PeerParts = {
    store,
    publisher,
    snapshots,
    clock,
    log,
    heartbeatMs,
    spreadMs: () => Math.min(MAX_SPREAD_MS, Math.max(MIN_SPREAD_MS, roster.all.size * SPREAD_PER_AGENT_MS)),
    onHello: (peer, hello) => roster.hello(peer, hello),
    onAck: (fact, applyMs) => {
      if (applyMs > 0) told.apply.observe(applyMs / 1_000);
      acks.add(fact);
      spread.acknowledged(fact.name, fact.revision, behind);
    },
    onEnd: (peer) => {
      if (!roster.remove(peer)) return;
      acks.forget(peer.name);
      spread.left(peer.name);
    },
  };
  const door = openDoor({ server, store, clock, log }, roster, (agent, socket) => roster.add(new Peer(agent, socket, parts)));
  const leaving = new LeavingIssuers(store, log);
  const beat = setInterval(() => {
    const { revision, digest } = publisher.head;
    const text = encode({ type: "heartbeat", revision, digest, time: clock.now() });
    for (const peer of roster.all) peer.heartbeat(text);
    void leaving.look(() => roster.greeted());
  }, heartbeatMs);

  return {
    agents: () => [...roster.greeted()].map(({ fact }) => ({ ...fact, duplicates: roster.takeovers(fact.name) })),
    spread: () => spread.last,
    showing: (issuer) => Array.from(roster.all).flatMap((peer) => (peer.issuer === issuer ? [peer.name] : [])),
    disconnect(name) {
      // Also one that did not say hello yet: it was admitted by the certificate that no longer counts.
      for (const peer of [...roster.all]) if (peer.name === name) peer.close(CLOSE.revoked, "the agent was revoked");
    },
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      door[Symbol.dispose]();
      for (const peer of [...roster.all]) peer.sendAway(CLOSE.shutdown, "the registry stops");
      await publisher[Symbol.asyncDispose]();
      await snapshots[Symbol.asyncDispose]();
      await acks[Symbol.asyncDispose]();
    },
  };
}

/** Takes upgrades until it is disposed of; who is no agent, or one too many, is refused. */
function openDoor(
  { server, store, clock, log }: Pick<FeedParts, "server" | "store" | "clock" | "log">,
  roster: Roster,
  open: (agent: Admitted, socket: WebSocket) => void,
): Disposable {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: FEED.maxMessageBytes,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(FEED.subprotocol) ? FEED.subprotocol : false),
  });
  let shut = false;
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on("error", () => socket.destroy());
    admit(request, store, clock.now())
      .then((agent) => {
        if (agent === null || shut || roster.all.size >= MAX_FEEDS) refuse(socket);
        else sockets.handleUpgrade(request, socket, head, (opened) => open(agent, opened));
      })
      .catch((error: unknown) => {
        log.error({ err: error }, "Cannot admit a feed");
        refuse(socket);
      });
  };
  server.on("upgrade", onUpgrade);
  return {
    [Symbol.dispose]() {
      shut = true;
      server.removeListener("upgrade", onUpgrade);
    },
  };
}
