import { randomUUID } from "node:crypto";
import { delay } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import { CLOSE, FEED } from "../../lib/feed/limits.ts";
import type { ServerMessage } from "../../lib/feed/messages.ts";
import type { Latch } from "../../lib/latch.ts";
import type { Log } from "../../lib/log.ts";
import type { AgentConfig } from "../config.ts";
import type { DesiredState } from "../desired.ts";
import type { RegistryTime } from "../time.ts";
import { AckPacer } from "./acks.ts";
import { type Connection, ConnectionLostError, openConnection } from "./connection.ts";
import { identityOf } from "./identity.ts";
import { type Ending, ReconnectPlan } from "./reconnect.ts";
import { type Effect, FeedRefusedError, FeedSession } from "./session.ts";

/** What stands in kernel and on disk, as the registry is told. */
export interface Acknowledgement {
  readonly epoch: string | null;
  readonly revision: number;
  readonly digest: string;
  readonly tookMs: number;
}

export interface FeedParts {
  /** Read at each connection: it may be replaced. */
  readonly config: AgentConfig;
  readonly version: string;
  readonly desired: DesiredState;
  readonly time: RegistryTime;
  readonly clock: Clock;
  readonly log: Log;
  readonly settled: Latch;
  readonly onEffect: (effect: Effect) => void;
  /** The CA of the agent's certificate leaves: the next one is to be asked for at a random moment within that time. */
  readonly onRenew: (spreadMs: number) => void;
  readonly acknowledged: () => Acknowledgement | null;
}

const NOTHING: Acknowledgement = { epoch: null, revision: 0, digest: "0".repeat(32), tookMs: 0 };

/** How long ago the registry was last heard when this program starts: a restart makes nobody less stale. */
const awayMs = (time: RegistryTime): number => (time.seenMs === 0 ? 0 : time.now() - time.seenMs);

/** Keeps one feed connection alive for as long as the signal lets it: resume by revision, herd-safe reconnect, addresses in turn. */
export class FeedClient {
  readonly #parts: FeedParts;
  #plan: ReconnectPlan;
  readonly #acks = new AckPacer((slowestMs) => this.#sendAck(slowestMs));
  readonly #instance = randomUUID();
  #connection: Connection | null = null;
  #session: FeedSession | null = null;
  #address: string | null = null;
  #heardAtMs: number;
  #forget = false;
  #spreadMs: number | null = null;
  #heartbeat: NodeJS.Timeout | null = null;
  #unknown = 0;
  #anew: AbortController | null = null;
  #accepted: string | null = null;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#plan = new ReconnectPlan(parts.config.registry.addresses);
    this.#heardAtMs = parts.clock.monotonic() - awayMs(parts.time);
  }

  /** The address of the registry that welcomed this agent; null while there is none. */
  get address(): string | null {
    return this.#address;
  }

  /** What is held is not in that registry's history: it stands, and nothing is told about it any more. */
  get ahead(): boolean {
    return this.#session?.ahead ?? false;
  }

  /** Connected to a registry that keeps this agent up to date. */
  get following(): boolean {
    return this.#address !== null && !this.ahead;
  }

  /** Milliseconds since a message came from a registry that keeps this agent up to date. */
  get silentMs(): number {
    return Math.round(this.#parts.clock.monotonic() - this.#heardAtMs);
  }

  /** Messages of types that this version does not know. */
  get unknownMessages(): number {
    return this.#unknown;
  }

  /** Tells what was just applied; acknowledgements are cumulative and at most one per `FEED.ackIntervalMs`. */
  applied(tookMs: number): void {
    this.#acks.applied(tookMs);
  }

  /** Ends the connection and opens another one with what the configuration and its files say now. What stands stays. */
  reconnect(): void {
    this.#parts.log.info({}, "The feed is connected anew");
    this.#plan = new ReconnectPlan(this.#parts.config.registry.addresses);
    this.#anew?.abort(new Error("the feed is connected anew"));
  }

  /**
   * A local operator's word: the next snapshot of this epoch is taken, even if epoch, revision or CRL numbers go back by it.
   * It counts for one snapshot, and only while this process runs.
   */
  accept(epoch: string): void {
    this.#parts.log.warn({ epoch }, "A local operator lets the next snapshot of this epoch take the place of what is held");
    this.#accepted = epoch;
    this.#forget = true;
    this.reconnect();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { address } = this.#plan;
      const anew = new AbortController();
      this.#anew = anew;
      const until = AbortSignal.any([signal, anew.signal]);
      try {
        await this.#connect(address, until);
      } catch (error) {
        if (error instanceof FeedRefusedError && error.forget) this.#forget = true;
        const ending = { code: error instanceof ConnectionLostError ? error.code : null, spreadMs: this.#spreadMs };
        this.#lost();
        if (!until.aborted) await this.#wait(address, error, ending, until);
      }
    }
  }

  async #wait(address: string, error: unknown, ending: Ending, signal: AbortSignal): Promise<void> {
    const { log } = this.#parts;
    const { address: next, waitMs, planned } = this.#plan.after(ending);
    const reason = error instanceof Error ? error.message : String(error);
    if (planned) log.info({ address, next, waitMs }, "The registry ended the feed as planned; what stands stays");
    else if (ending.code === CLOSE.replaced)
      log.error({ address, waitMs, alarm: "duplicate_agent" }, "Another program has this agent's name and certificate");
    else log[error instanceof FeedRefusedError ? "error" : "warn"]({ address, reason, next, waitMs }, "Feed lost; what stands stays");
    await delay(waitMs, signal).catch(() => {});
  }

  async #connect(address: string, signal: AbortSignal): Promise<never> {
    const { config, desired, settled, time, version, log } = this.#parts;
    const session = new FeedSession(desired, time, config.ceiling, { forgets: this.#forget, accepted: this.#accepted });
    this.#session = session;
    const connection = openConnection(
      address,
      identityOf(config),
      settled,
      {
        onOpen: () => {
          const held = this.#forget || desired.epoch === null ? NOTHING : desired;
          const { epoch, revision, digest } = held;
          connection.send({ type: "hello", agent: config.name, version, instance: this.#instance, epoch, revision, digest });
        },
        onMessage: (message) => {
          const effect = session.handle(message);
          if (!session.ahead && message.type !== "welcome") this.#heardAtMs = this.#parts.clock.monotonic();
          this.#afterwards(message, address);
          this.#parts.onEffect(effect);
        },
        onUnknown: (type) => {
          this.#unknown++;
          // The first is told: a registry that sends many must not fill the log.
          if (this.#unknown === 1) log.info({ type }, "Messages of unknown types are skipped and counted");
        },
      },
      signal,
    );
    this.#connection = connection;
    return await connection.ended;
  }

  #afterwards(message: ServerMessage, address: string): void {
    switch (message.type) {
      case "welcome":
        this.#welcomed(message, address);
        return;
      case "snapshot.end":
        this.#forget = false;
        this.#accepted = null;
        return;
      // Not at welcome: a registry whose next message is refused must meet the growing wait.
      case "heartbeat":
        this.#plan.works();
        return;
      case "restart":
        this.#spreadMs = message.spreadMs;
        return;
      case "renew":
        this.#parts.onRenew(message.spreadMs);
        return;
      case "ahead":
        this.#parts.log.error(
          { alarm: "ahead_of_registry", held: this.#parts.desired.revision, registry: message.revision, registryEpoch: message.epoch },
          "The registry's history lacks what this host holds; it stays until an operator begins a new epoch there",
        );
        return;
      default:
        return;
    }
  }

  #welcomed(message: Extract<ServerMessage, { type: "welcome" }>, address: string): void {
    this.#address = address;
    this.#connection?.setSilenceLimit(message.heartbeatMs * FEED.missedHeartbeats);
    this.#heartbeat = setInterval(() => this.#sendHeartbeat(), message.heartbeatMs);
    this.#parts.log.info({ address, epoch: message.epoch, revision: message.revision }, "Feed open");
    this.#acks.applied(0);
  }

  #sendAck(slowestMs: number): void {
    const { epoch, revision, digest } = this.#parts.acknowledged() ?? NOTHING;
    if (epoch !== null && this.#address !== null) this.#connection?.send({ type: "ack", epoch, revision, digest, applyMs: slowestMs });
  }

  /** Also while nothing is held: an agent whose first snapshot takes long is alive. */
  #sendHeartbeat(): void {
    const { epoch, revision, digest } = this.#parts.acknowledged() ?? NOTHING;
    this.#connection?.send({ type: "heartbeat", epoch, revision, digest, time: this.#parts.time.now() });
  }

  #lost(): void {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    this.#acks.stop();
    this.#heartbeat = null;
    this.#connection = null;
    this.#session = null;
    this.#address = null;
    this.#spreadMs = null;
  }
}
