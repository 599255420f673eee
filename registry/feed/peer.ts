import { WebSocket as Socket, type WebSocket } from "ws";
import type { Clock } from "../../lib/clock.ts";
import { CLOSE, FEED } from "../../lib/feed/limits.ts";
import { type ClientMessage, decodeClientMessage, encode } from "../../lib/feed/messages.ts";
import type { Log } from "../../lib/log.ts";
import { first, type Store } from "../store/store.ts";
import { MAX_REPLAY, type Publisher } from "./publisher.ts";
import { sendSnapshot } from "./snapshot.ts";

/** What an agent said it holds. */
export interface AgentFact {
  readonly name: string;
  readonly revision: number;
  readonly digest: string | null;
  readonly connectedAt: number;
  readonly seenAt: number;
  readonly lastApplyMs: number;
}

export interface PeerParts {
  readonly store: Store;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly log: Log;
  readonly heartbeatMs: number;
  /** Lets at most a few snapshots be read at once. */
  readonly snapshotTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly onAck: (fact: AgentFact) => void;
}

/** One agent's feed: one message under way at a time, fetched when the last one left, so a slow agent costs nothing but its own delay. */
export class Peer {
  readonly name: string;
  readonly #socket: WebSocket;
  readonly #parts: PeerParts;
  readonly #abort = new AbortController();
  #fact: AgentFact;
  #greeted = false;
  #unknown = 0;

  constructor(name: string, socket: WebSocket, parts: PeerParts) {
    this.name = name;
    this.#socket = socket;
    this.#parts = parts;
    const now = parts.clock.now();
    this.#fact = { name, revision: 0, digest: null, connectedAt: now, seenAt: now, lastApplyMs: 0 };
    const greeting = setTimeout(() => this.close(CLOSE.helloTimeout, "no hello"), FEED.helloTimeoutMs);
    socket.on("message", (data, isBinary) => {
      clearTimeout(greeting);
      if (isBinary) this.close(CLOSE.protocol, "binary message");
      else this.#receive(String(data));
    });
    socket.on("error", (error) => parts.log.warn({ agent: name, reason: error.message }, "Feed connection failed"));
    socket.on("close", () => {
      clearTimeout(greeting);
      this.#abort.abort(new Error("the feed is closed"));
    });
  }

  get fact(): AgentFact {
    return this.#fact;
  }

  close(code: number, reason: string): void {
    this.#abort.abort(new Error(reason));
    this.#socket.close(code, reason);
    // A peer that does not answer the close within its time is cut.
    setTimeout(() => this.#socket.terminate(), 1_000).unref();
  }

  /** Called once a heartbeat interval: ends a silent link, else tells the head. */
  heartbeat(text: string): void {
    if (this.#parts.clock.now() - this.#fact.seenAt > this.#parts.heartbeatMs * FEED.missedHeartbeats) {
      this.#parts.log.warn({ agent: this.name }, "Feed silent, terminated");
      this.#socket.terminate();
    } else if (this.#greeted && this.#socket.bufferedAmount < FEED.maxMessageBytes) {
      this.#socket.send(text, () => {});
    }
  }

  #receive(text: string): void {
    const decoded = decodeClientMessage(text);
    if (decoded.kind === "invalid") {
      this.close(CLOSE.protocol, decoded.reason.slice(0, 100));
      return;
    }
    this.#fact = { ...this.#fact, seenAt: this.#parts.clock.now() };
    if (decoded.kind === "unknown") {
      this.#unknown++;
      this.#parts.log.info({ agent: this.name, type: decoded.type, unknown: this.#unknown }, "Message of an unknown type skipped");
      return;
    }
    this.#handle(decoded.message);
  }

  #handle(message: ClientMessage): void {
    switch (message.type) {
      case "hello":
        this.#greet(message);
        return;
      case "ack":
        this.#heard(message.revision, message.digest, message.applyMs);
        return;
      case "heartbeat":
        this.#heard(message.revision, message.digest, this.#fact.lastApplyMs);
        return;
      default:
        message satisfies never;
    }
  }

  #greet(hello: Extract<ClientMessage, { type: "hello" }>): void {
    if (this.#greeted) {
      this.close(CLOSE.protocol, "second hello");
    } else if (hello.agent !== this.name) {
      this.close(CLOSE.unknownAgent, "the certificate names another agent");
    } else {
      this.#greeted = true;
      this.#serve(hello).catch((error: unknown) => this.#failed(error));
    }
  }

  #heard(revision: number, digest: string, lastApplyMs: number): void {
    const { head } = this.#parts.publisher;
    if (revision === head.revision && digest !== head.digest) {
      this.#parts.log.error({ agent: this.name, revision, digest, expected: head.digest }, "Agent's digest differs; it will resync");
    }
    this.#fact = { ...this.#fact, revision, digest, lastApplyMs };
    this.#parts.onAck(this.#fact);
  }

  /** Welcome, what is missing, then live: until the connection ends. */
  async #serve(hello: Extract<ClientMessage, { type: "hello" }>): Promise<void> {
    const { publisher, clock, heartbeatMs, log, store, snapshotTurn } = this.#parts;
    const { signal } = this.#abort;
    const { head } = publisher;
    await this.#send(encode({ type: "welcome", epoch: head.epoch, revision: head.revision, time: clock.now(), heartbeatMs }));
    let sent = hello.revision;
    const resumable = hello.epoch === head.epoch && (await this.#canReplay(sent));
    log.info({ agent: this.name, holds: sent, head: head.revision, resumes: resumable }, "Agent joined the feed");
    if (!resumable) sent = await snapshotTurn(() => sendSnapshot(store, clock, (text) => this.#send(text)));
    while (!signal.aborted) {
      const seen = publisher.wakeup.count;
      const page = await publisher.pageAfter(sent);
      if (page === null) {
        await publisher.wakeup.after(seen, signal);
      } else {
        await this.#send(page.text);
        sent = page.to;
      }
    }
  }

  /** True too when the agent is ahead of this replica: it then waits, never resyncs. */
  async #canReplay(revision: number): Promise<boolean> {
    const { head } = this.#parts.publisher;
    if (revision >= head.revision) return true;
    if (head.revision - revision > MAX_REPLAY) return false;
    const oldest = await this.#parts.store.read((db) =>
      first(db.selectFrom("changes").select((changes) => changes.fn.min("revision").as("revision"))),
    );
    return oldest !== undefined && Number(oldest.revision) <= revision + 1;
  }

  #send(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = this.#abort;
      if (signal.aborted || this.#socket.readyState !== Socket.OPEN) {
        reject(signal.reason ?? new Error("the feed is closed"));
        return;
      }
      const timer = setTimeout(() => {
        this.close(CLOSE.tooSlow, "too slow");
        reject(new Error("the agent takes nothing"));
      }, this.#parts.heartbeatMs * FEED.missedHeartbeats);
      this.#socket.send(text, (error) => {
        clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      });
    });
  }

  #failed(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    this.#parts.log.error({ agent: this.name, err: error }, "Feed failed");
    this.close(CLOSE.shutdown, "try again");
  }
}
