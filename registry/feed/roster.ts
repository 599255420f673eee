import type { Clock } from "../../lib/clock.ts";
import { CLOSE } from "../../lib/feed/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { Hello, Peer } from "./peer.ts";

/** A name changes hands at most this often; a newcomer in between is sent off. */
const TAKEOVER_MS = 1_000;
/** Names whose takeovers are remembered. */
const MAX_REMEMBERED = 20_000;

interface Takeovers {
  readonly count: number;
  /** Monotonic. */
  readonly atMs: number;
}

/**
 * Who has a feed. Two programs with one agent's name: the older is closed, with an alarm; one program that connects again, because its
 * old link is dead and only we do not know, is none.
 */
export class Roster {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #all = new Set<Peer>();
  readonly #named = new Map<string, { readonly peer: Peer; readonly instance: string }>();
  readonly #takeovers = new Map<string, Takeovers>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Every connection, also those that did not say hello yet. */
  get all(): ReadonlySet<Peer> {
    return this.#all;
  }

  /** Those that said hello, one a name. */
  *greeted(): Generator<Peer> {
    for (const { peer } of this.#named.values()) yield peer;
  }

  /** How often another program took this name's feed over, since the registry started. */
  takeovers(name: string): number {
    return this.#takeovers.get(name)?.count ?? 0;
  }

  add(peer: Peer): void {
    this.#all.add(peer);
  }

  /** @returns false when the peer was sent off */
  hello(peer: Peer, { instance }: Hello): boolean {
    const older = this.#named.get(peer.name);
    if (older !== undefined && older.instance !== instance && !this.#mayTakeOver(peer.name)) {
      peer.close(CLOSE.replaced, "another feed of this agent opened just now");
      return false;
    }
    this.#named.set(peer.name, { peer, instance });
    older?.peer.close(CLOSE.replaced, "another feed of this agent opened");
    return true;
  }

  /** @returns true when the name has no feed any more */
  remove(peer: Peer): boolean {
    this.#all.delete(peer);
    return this.#named.get(peer.name)?.peer === peer && this.#named.delete(peer.name);
  }

  #mayTakeOver(name: string): boolean {
    const known = this.#takeovers.get(name);
    const now = this.#clock.monotonic();
    const count = (known?.count ?? 0) + 1;
    const allowed = known === undefined || now - known.atMs >= TAKEOVER_MS;
    const [oldest] = this.#takeovers.keys();
    if (known === undefined && this.#takeovers.size >= MAX_REMEMBERED && oldest !== undefined) this.#takeovers.delete(oldest);
    this.#takeovers.set(name, { count, atMs: allowed ? now : (known?.atMs ?? now) });
    if (allowed) {
      this.#log.error({ agent: name, alarm: "duplicate_agent", count }, "Two programs with one agent's name: the older is closed");
    }
    return allowed;
  }
}
