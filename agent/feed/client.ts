import { delay } from "../../lib/abort.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { FEED } from "../../lib/feed/limits.ts";
import type { ServerMessage } from "../../lib/feed/messages.ts";
import type { Latch } from "../../lib/latch.ts";
import type { Log } from "../../lib/log.ts";
import type { AgentConfig } from "../config.ts";
import type { DesiredState } from "../desired.ts";
import type { RegistryTime } from "../time.ts";
import { type Connection, openConnection } from "./connection.ts";
import { type Effect, FeedRefusedError, FeedSession } from "./session.ts";

/** What stands in kernel and on disk, as the registry is told. */
export interface Acknowledgement {
  readonly epoch: string | null;
  readonly revision: number;
  readonly digest: string;
  readonly tookMs: number;
}

export interface FeedParts {
  readonly config: AgentConfig;
  readonly version: string;
  readonly desired: DesiredState;
  readonly time: RegistryTime;
  readonly clock: Clock;
  readonly log: Log;
  readonly settled: Latch;
  readonly onEffect: (effect: Effect) => void;
  readonly acknowledged: () => Acknowledgement | null;
}

/** Keeps one feed connection alive for as long as the signal lets it: resume by revision, herd-safe reconnect, addresses in turn. */
export class FeedClient {
  readonly #parts: FeedParts;
  readonly #backoff = new Backoff({ minMs: FEED.reconnectMinMs, maxMs: FEED.reconnectMaxMs });
  #connection: Connection | null = null;
  #address: string | null = null;
  #heardAtMs: number;
  #forget = false;
  #ackTimer: NodeJS.Timeout | null = null;
  #ackDue = false;
  #heartbeat: NodeJS.Timeout | null = null;
  #slowestMs = 0;
  #unknown = 0;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#heardAtMs = parts.clock.monotonic();
  }

  /** The address of the registry that welcomed this agent; null while there is none. */
  get address(): string | null {
    return this.#address;
  }

  /** Milliseconds since a message came. */
  get silentMs(): number {
    return Math.round(this.#parts.clock.monotonic() - this.#heardAtMs);
  }

  /** Messages of types that this version does not know. */
  get unknownMessages(): number {
    return this.#unknown;
  }

  /** Tells what was just applied; acknowledgements are cumulative and at most one per `FEED.ackIntervalMs`. */
  applied(tookMs: number): void {
    this.#slowestMs = Math.max(this.#slowestMs, tookMs);
    if (this.#ackTimer !== null) {
      this.#ackDue = true;
      return;
    }
    this.#sendAck();
    this.#ackTimer = setTimeout(() => {
      this.#ackTimer = null;
      if (this.#ackDue) this.applied(0);
    }, FEED.ackIntervalMs);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { config, log } = this.#parts;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const address = config.registry.addresses[attempt % config.registry.addresses.length] ?? "";
      try {
        await this.#connect(address, signal);
      } catch (error) {
        if (error instanceof FeedRefusedError && error.forget) this.#forget = true;
        if (!signal.aborted) {
          const waitMs = this.#backoff.next();
          const level = error instanceof FeedRefusedError ? "error" : "warn";
          log[level]({ address, reason: error instanceof Error ? error.message : String(error), waitMs }, "Feed lost; what stands stays");
          await delay(waitMs, signal).catch(() => {});
        }
      } finally {
        this.#lost();
      }
    }
  }

  async #connect(address: string, signal: AbortSignal): Promise<never> {
    const { config, desired, settled, time, version, log } = this.#parts;
    const session = new FeedSession(desired, time, config.ceiling);
    const connection = openConnection(
      address,
      config.registry,
      settled,
      {
        onOpen: () => {
          const epoch = this.#forget ? null : desired.epoch;
          connection.send({ type: "hello", agent: config.name, version, epoch, revision: epoch === null ? 0 : desired.revision });
        },
        onMessage: (message) => {
          this.#heardAtMs = this.#parts.clock.monotonic();
          const effect = session.handle(message);
          this.#afterwards(message, address);
          this.#parts.onEffect(effect);
        },
        onUnknown: (type) => {
          this.#unknown++;
          log.info({ type }, "Message of an unknown type skipped");
        },
      },
      signal,
    );
    this.#connection = connection;
    return await connection.ended;
  }

  #afterwards(message: ServerMessage, address: string): void {
    if (message.type === "snapshot.end") this.#forget = false;
    // Not at welcome: a registry whose next message is refused must meet the growing wait.
    if (message.type === "heartbeat") this.#backoff.reset();
    if (message.type !== "welcome") return;
    this.#address = address;
    this.#connection?.setSilenceLimit(message.heartbeatMs * FEED.missedHeartbeats);
    this.#heartbeat = setInterval(() => this.#sendHeartbeat(), message.heartbeatMs);
    this.#parts.log.info({ address, epoch: message.epoch, revision: message.revision }, "Feed open");
    this.#sendAck();
  }

  #sendAck(): void {
    const done = this.#parts.acknowledged();
    this.#ackDue = false;
    // Only what was applied of the epoch that is held means anything to the registry.
    if (done === null || this.#address === null || done.epoch !== this.#parts.desired.epoch) return;
    this.#connection?.send({ type: "ack", revision: done.revision, digest: done.digest, applyMs: this.#slowestMs });
    this.#slowestMs = 0;
  }

  #sendHeartbeat(): void {
    const done = this.#parts.acknowledged();
    if (done === null) return;
    this.#connection?.send({ type: "heartbeat", revision: done.revision, digest: done.digest, time: this.#parts.time.now() });
  }

  #lost(): void {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    if (this.#ackTimer !== null) clearTimeout(this.#ackTimer);
    this.#heartbeat = null;
    this.#ackTimer = null;
    this.#connection = null;
    this.#address = null;
  }
}
