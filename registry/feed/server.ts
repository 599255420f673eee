import type { IncomingMessage } from "node:http";
import type { Server } from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import type { Clock } from "../../lib/clock.ts";
import { CLOSE, FEED } from "../../lib/feed/limits.ts";
import { encode } from "../../lib/feed/messages.ts";
import type { Log } from "../../lib/log.ts";
import { URN } from "../../lib/service.ts";
import type { RegistryConfig } from "../config.ts";
import { recordAcks } from "../store/queries.ts";
import { first, type Store } from "../store/store.ts";
import { type AgentFact, Peer } from "./peer.ts";
import { Publisher } from "./publisher.ts";

/** Acknowledgements are written to Storage together, at most this often. */
const ACK_WRITE_MS = 100;
const MAX_SNAPSHOTS_AT_ONCE = 4;
/** Agents with a feed at one time. */
const MAX_FEEDS = 20_000;

export interface Feed extends AsyncDisposable {
  /** Agents with a live feed. */
  agents(): readonly AgentFact[];
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
}

/** Serves the feed at `FEED.path` of the control listener, to agents alone (docs/protocol.md). */
export async function startFeed({ server, config, store, clock, log }: FeedParts): Promise<Feed> {
  const { heartbeatMs } = config.feed;
  const publisher = await Publisher.start(store, clock, log);
  const peers = new Map<string, Peer>();
  const acks = new AckWriter(store, log);
  const parts = {
    store,
    publisher,
    clock,
    log,
    heartbeatMs,
    snapshotTurn: turns(MAX_SNAPSHOTS_AT_ONCE),
    onAck: (fact: AgentFact) => acks.add(fact),
  };
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: FEED.maxMessageBytes,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(FEED.subprotocol) ? FEED.subprotocol : false),
  });
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on("error", () => socket.destroy());
    admit(request, store, peers.size)
      .then((name) => {
        if (name === null) return refuse(socket);
        sockets.handleUpgrade(request, socket, head, (opened) => {
          const older = peers.get(name);
          if (older !== undefined) {
            log.warn({ agent: name, alarm: "duplicate_agent" }, "Two live feeds with one agent id: the older is closed");
            older.close(CLOSE.replaced, "another feed of this agent opened");
          }
          const peer = new Peer(name, opened, parts);
          peers.set(name, peer);
          opened.once("close", () => {
            if (peers.get(name) === peer) peers.delete(name);
          });
        });
      })
      .catch((error: unknown) => {
        log.error({ err: error }, "Cannot admit a feed");
        refuse(socket);
      });
  };
  server.on("upgrade", onUpgrade);
  const beat = setInterval(() => {
    const text = encode({ type: "heartbeat", revision: publisher.head.revision, digest: publisher.head.digest, time: clock.now() });
    for (const peer of peers.values()) peer.heartbeat(text);
  }, heartbeatMs);

  return {
    agents: () => [...peers.values()].map((peer) => peer.fact),
    disconnect: (name) => peers.get(name)?.close(CLOSE.revoked, "the agent was revoked"),
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      server.removeListener("upgrade", onUpgrade);
      for (const peer of peers.values()) peer.close(CLOSE.shutdown, "the registry stops");
      await publisher[Symbol.asyncDispose]();
      sockets.close();
      await acks[Symbol.asyncDispose]();
    },
  };
}

/** The agent's name when the request may become a feed: its own role's certificate, enrolled, not revoked, and no browser (Origin). */
async function admit(request: IncomingMessage, store: Store, feeds: number): Promise<string | null> {
  if (request.url !== FEED.path || request.headers.origin !== undefined || feeds >= MAX_FEEDS) return null;
  const certificate = (request.socket as TLSSocket).getPeerX509Certificate();
  const name = /^URI:urn:entityos:agent:([a-z0-9.-]{1,63})$/.exec(certificate?.subjectAltName ?? "")?.[1];
  if (certificate === undefined || name === undefined || !certificate.subjectAltName?.startsWith(`URI:${URN.agent}`)) return null;
  const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
  const agent = await store.read((db) => first(db.selectFrom("agents").select(["fingerprint", "revoked_at"]).where("name", "=", name)));
  return agent !== undefined && agent.revoked_at === null && agent.fingerprint === fingerprint ? name : null;
}

function refuse(socket: Duplex): void {
  socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

/** At most `limit` pieces of work at once; the others wait their turn. */
function turns(limit: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}

/** Coalesces acknowledgements: the latest of each agent, written together, lost ones repeated by the next heartbeat. */
class AckWriter implements AsyncDisposable {
  readonly #store: Store;
  readonly #log: Log;
  #latest = new Map<string, AgentFact>();
  #timer: NodeJS.Timeout | null = null;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  add(fact: AgentFact): void {
    this.#latest.set(fact.name, fact);
    this.#timer ??= setTimeout(() => void this.#write(), ACK_WRITE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#write();
  }

  async #write(): Promise<void> {
    this.#timer = null;
    const acks = [...this.#latest.values()].map(({ name, revision, seenAt }) => ({ name, revision, seenAt }));
    this.#latest = new Map();
    if (acks.length === 0) return;
    await this.#store
      .write((db) => recordAcks(db, acks), ["progress"])
      .catch((error: unknown) => {
        this.#log.warn({ err: error }, "Cannot record acknowledgements; the next heartbeat repeats them");
      });
  }
}
