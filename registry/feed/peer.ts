import type { WebSocket } from "ws";
import type { AgentFeed } from "../../lib/admin/api.ts";
import type { Clock } from "../../lib/clock.ts";
import { CLOSE, FEED } from "../../lib/feed/limits.ts";
import { type ClientMessage, decodeClientMessage, encode } from "../../lib/feed/messages.ts";
import type { Log } from "../../lib/log.ts";
import { readDigestAt, readHead } from "../store/queries.ts";
import type { Store } from "../store/store.ts";
import type { Admitted } from "./admit.ts";
import { Link } from "./link.ts";
import type { Publisher } from "./publisher.ts";
import type { Snapshots } from "./snapshot.ts";
import { standingOf } from "./standing.ts";

/** An agent that does not take a snapshot in this time is too slow. */
const SNAPSHOT_MS = 600_000;

export type Hello = Extract<ClientMessage, { type: "hello" }>;
/** What an agent said, and how its feed goes. */
export type AgentFact = Omit<AgentFeed, "duplicates"> & { readonly name: string };

export interface PeerParts {
  readonly store: Store;
  readonly publisher: Publisher;
  readonly snapshots: Snapshots;
  readonly clock: Clock;
  readonly log: Log;
  readonly heartbeatMs: number;
  /** How long agents that are sent away together may take to come back, milliseconds. */
  readonly spreadMs: () => number;
  /** The hello was right. @returns false when this feed must not be served */
  readonly onHello: (peer: Peer, hello: Hello) => boolean;
  /** Something stands in the agent's kernel: only what this registry sent it, of its own epoch. `applyMs` is 0 when nothing was applied. */
  readonly onAck: (fact: AgentFact, applyMs: number) => void;
  readonly onEnd: (peer: Peer) => void;
}

/** One agent's feed: one message under way at a time, fetched when the last one left, so a slow agent costs nothing but its own delay. */
export class Peer {
  readonly name: string;
  /** Common name of the CA of the certificate that it came with. */
  readonly issuer: string;
  readonly #notAfter: number;
  readonly #link: Link;
  readonly #parts: PeerParts;
  readonly #greeting: NodeJS.Timeout;
  #fact: AgentFact;
  #greeted = false;
  #toldToRenew = false;
  /** Epoch that is served, and highest revision sent, or held when it came. */
  #epoch = "";
  #sent = 0;
  #unknown = 0;

  constructor({ name, issuer, notAfter }: Admitted, socket: WebSocket, parts: PeerParts) {
    this.name = name;
    this.issuer = issuer;
    this.#notAfter = notAfter;
    this.#parts = parts;
    const now = parts.clock.now();
    const held = { epoch: null, revision: 0, digest: null, lastApplyMs: 0 };
    this.#fact = { name, phase: "greeting", ...held, connectedAt: now, seenAt: now, unknownMessages: 0 };
    const { clock, log, heartbeatMs } = parts;
    this.#link = new Link(socket, { agent: name, clock, log, heartbeatMs, onText: (text) => this.#receive(text) });
    this.#greeting = setTimeout(() => this.close(CLOSE.helloTimeout, "no hello"), FEED.helloTimeoutMs);
    this.#link.signal.addEventListener("abort", () => {
      clearTimeout(this.#greeting);
      parts.onEnd(this);
    });
  }

  get fact(): AgentFact {
    return this.#fact;
  }

  close(code: number, reason: string): void {
    this.#link.close(code, reason);
  }

  /** Ends the feed on purpose: the agent comes back at a random moment of the window. */
  sendAway(code: number, reason: string): void {
    if (this.#greeted) this.#link.offer(encode({ type: "restart", spreadMs: this.#parts.spreadMs() }));
    this.#link.close(code, reason);
  }

  /** Called once a heartbeat interval: tells the head, and ends a link that stands still, or that outlived the certificate it came with. */
  heartbeat(text: string): void {
    if (this.#parts.clock.now() > this.#notAfter) {
      this.#parts.log.warn({ agent: this.name, notAfter: this.#notAfter }, "The certificate that this feed came with ran out");
      this.close(CLOSE.certificateEnded, "the certificate ran out");
      return;
    }
    this.#link.look();
    if (this.#greeted) this.#link.offer(text);
  }

  /** Once a connection: the CA of its certificate leaves. @returns whether it was told now */
  tellToRenew(spreadMs: number): boolean {
    if (this.#toldToRenew || !this.#greeted) return false;
    this.#toldToRenew = this.#link.offer(encode({ type: "renew", spreadMs }));
    return this.#toldToRenew;
  }

  #receive(text: string): void {
    const decoded = decodeClientMessage(text);
    this.#fact = { ...this.#fact, seenAt: this.#parts.clock.now() };
    if (decoded.kind === "invalid") this.close(CLOSE.protocol, decoded.reason);
    else if (decoded.kind === "unknown") this.#skip(decoded.type);
    else if (decoded.message.type === "hello") this.#greet(decoded.message);
    else if (this.#greeted) this.#heard(decoded.message);
    else this.close(CLOSE.protocol, `'${decoded.message.type}' came before hello`);
  }

  /** The first of a connection is told: whoever sends many must not fill the log. */
  #skip(type: string): void {
    this.#unknown++;
    this.#fact = { ...this.#fact, unknownMessages: this.#unknown };
    if (this.#unknown === 1) this.#parts.log.info({ agent: this.name, type }, "Messages of unknown types are skipped and counted");
  }

  #greet(hello: Hello): void {
    const refusal = this.#refusal(hello);
    if (refusal !== null) {
      this.close(...refusal);
      return;
    }
    clearTimeout(this.#greeting);
    this.#greeted = true;
    if (this.#parts.onHello(this, hello)) this.#serve(hello).catch((error: unknown) => this.#failed(error));
  }

  #refusal(hello: Hello): [code: number, reason: string] | null {
    if (this.#greeted) return [CLOSE.protocol, "second hello"];
    return hello.agent === this.name ? null : [CLOSE.unknownAgent, "the certificate names another agent"];
  }

  /** Revisions that this registry did not send are none of its own: counted, they would be taken for later ones of the same number. */
  #heard(message: Exclude<ClientMessage, { type: "hello" }>): void {
    const { epoch, revision, digest } = message;
    const lastApplyMs = message.type === "ack" ? message.applyMs : this.#fact.lastApplyMs;
    if (epoch !== this.#epoch || revision > this.#sent || this.#fact.phase === "ahead") return;
    const { head } = this.#parts.publisher;
    if (revision === head.revision && digest !== head.digest && this.#fact.digest !== digest) {
      this.#parts.log.error({ agent: this.name, revision, digest, expected: head.digest }, "Agent's digest differs; it will resync");
    }
    this.#fact = { ...this.#fact, epoch, revision, digest, lastApplyMs };
    this.#parts.onAck(this.#fact, message.type === "ack" ? message.applyMs : 0);
  }

  /** Welcome, what is missing, then live: until the connection ends. */
  async #serve(hello: Hello): Promise<void> {
    const { store, clock, heartbeatMs, log } = this.#parts;
    const { head, digestThere } = await store.read(function* (db) {
      return { head: yield* readHead(db), digestThere: yield* readDigestAt(db, hello.revision) };
    });
    const { epoch, revision } = head;
    const standing = standingOf(hello, head, digestThere);
    this.#epoch = epoch;
    await this.#link.send(encode({ type: "welcome", epoch, revision, time: clock.now(), heartbeatMs }));
    log.info({ agent: this.name, holds: hello.revision, head: revision, standing }, "Agent joined the feed");
    if (standing === "ahead") await this.#waitAhead(hello, head);
    else if (standing === "snapshot") await this.#snapshot(head);
    else this.#resume(hello);
    await this.#follow(epoch);
  }

  /** The agent keeps what stands; here it waits until an operator begins a new epoch. */
  async #waitAhead(hello: Hello, head: { readonly epoch: string; readonly revision: number }): Promise<void> {
    const { publisher, log } = this.#parts;
    this.#fact = { ...this.#fact, phase: "ahead", revision: hello.revision, digest: hello.digest, epoch: hello.epoch };
    log.error(
      { agent: this.name, alarm: "agent_ahead", epoch: hello.epoch, revision: hello.revision, head: head.revision },
      "Agent holds what Storage does not: Storage was put back from a copy. It keeps what stands until 'entityos epoch begin'",
    );
    await this.#link.send(encode({ type: "ahead", epoch: head.epoch, revision: head.revision }));
    const { signal } = this.#link;
    while (publisher.head.epoch === head.epoch) await publisher.wakeup.after(publisher.wakeup.count, signal);
  }

  #resume({ revision }: Hello): void {
    this.#sent = revision;
    this.#fact = { ...this.#fact, phase: "behind" };
  }

  async #snapshot(head: { readonly epoch: string; readonly revision: number }): Promise<void> {
    const tooSlow = setTimeout(() => this.close(CLOSE.tooSlow, "the snapshot takes too long"), SNAPSHOT_MS);
    this.#fact = { ...this.#fact, phase: "snapshot" };
    try {
      const send = (data: string | Buffer) => this.#link.send(data);
      const onEnd = (revision: number) => {
        this.#sent = revision;
      };
      await this.#parts.snapshots.send(head, send, onEnd, this.#link.signal);
    } finally {
      clearTimeout(tooSlow);
    }
  }

  async #follow(epoch: string): Promise<void> {
    const { publisher } = this.#parts;
    for (;;) {
      const seen = publisher.wakeup.count;
      if (publisher.head.epoch !== epoch) break;
      const page = await publisher.pageAfter(this.#sent);
      if (page === "gone") {
        await this.#snapshot(publisher.head);
      } else if (page === null) {
        if (this.#fact.phase !== "live") this.#fact = { ...this.#fact, phase: "live" };
        await publisher.wakeup.after(seen, this.#link.signal);
      } else {
        // Before it is sent: its acknowledgement may be read before the write's own callback.
        this.#sent = page.to;
        await this.#link.send(page.data);
      }
    }
    this.sendAway(CLOSE.newEpoch, "a new epoch began");
  }

  #failed(error: unknown): void {
    if (this.#link.signal.aborted) return;
    this.#parts.log.error({ agent: this.name, err: error }, "Feed failed");
    this.close(CLOSE.shutdown, "try again");
  }
}
