import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../lib/clock.ts";
import { Problem } from "../../lib/problem.ts";
import { PROOF_WINDOW_MS } from "../../lib/registration/submission.ts";
import { observationKey } from "../store/observation-key.ts";
import type { Store } from "../store/store.ts";

/** "TIME.ADDRESS.MAC": nothing that a client reads. */
const TICKET = /^(\d{1,15})\.([A-Za-z0-9_-]{1,60})\.([A-Za-z0-9_-]{22})$/;

/** An address, and when a request came from there, integer milliseconds. */
export interface Observation {
  readonly address: string;
  readonly time: number;
}

/**
 * Tickets that say: a request came from this address, at this time. A device that fetched one over IPv6 can then register both its
 * addresses by one request over IPv4. A ticket proves no more than any request does: that somebody there wanted it.
 */
export class Observations {
  readonly #key: string;
  readonly #clock: Clock;

  private constructor(key: string, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
  }

  static async start(store: Store, clock: Clock): Promise<Observations> {
    const fresh = randomBytes(32).toString("base64url");
    return new Observations(await store.write((db) => observationKey(db, fresh)), clock);
  }

  /** @param address canonical, as it was observed */
  ticket(address: string): string {
    const time = this.#clock.now();
    return `${time}.${Buffer.from(address).toString("base64url")}.${this.#mac(time, address)}`;
  }

  /** What a ticket of ours says, however old it is. @throws Problem observation_refused */
  read(ticket: string): Observation {
    const [, time = "", address64 = "", mac = ""] = TICKET.exec(ticket) ?? [];
    const address = Buffer.from(address64, "base64url").toString();
    const right = timingSafeEqual(Buffer.from(this.#mac(Number(time), address)), Buffer.from(mac.padEnd(22)));
    if (!right) throw refused();
    return { address, time: Number(time) };
  }

  #mac(time: number, address: string): string {
    return createHmac("sha256", this.#key).update(`entityos observation v1\n${time}\n${address}`).digest("base64url").slice(0, 22);
  }
}

/** Null for one that was as young at a time, integer milliseconds, as a proof must be; else observation_refused. */
export const observationProblem = ({ time }: Observation, at: number): Problem | null =>
  Math.abs(at - time) > PROOF_WINDOW_MS ? refused() : null;

const refused = (): Problem =>
  new Problem(422, "observation_refused", "The ticket of an observed address is wrong or too old: ask GET /v1/address again.");
