import { delay, rungOrDelayed, Wakeup } from "../../lib/abort.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import type { ServiceFiles } from "../service-certificate.ts";
import type { Identity } from "./identity.ts";
import { isLeaving, renewWhenDue } from "./renewal.ts";
import { renewServiceWhenDue } from "./service-renewal.ts";

/** How often the certificates' ends are looked at. */
const LOOK_MS = 60 * 60_000;
/** What failed is tried again after growing waits when a CA leaves, else at the next look. */
const RETRY = { minMs: 1_000, maxMs: 300_000 };
/** The registry's word that the CA leaves is followed this long after the last time at the soonest: no registry keeps an agent renewing. */
const REST_MS = 10 * 60_000;

export interface RenewingParts {
  readonly identity: () => Identity;
  /** Null where nothing of ours ends TLS. */
  readonly service: () => ServiceFiles | null;
  /** Follows no feed, so nobody tells it that a CA leaves: it asks. */
  readonly asks: boolean;
  /** Told when the agent's new certificate ends, integer milliseconds, and whether its CA was leaving. */
  readonly onRenewed: (notAfter: number, leaving: boolean) => void;
  readonly onServiceRenewed: () => void;
  /** `now` is the registry's. */
  readonly clock: Pick<Clock, "now" | "monotonic">;
  readonly log: Log;
  readonly random?: () => number;
}

/** Renews the agent's certificate and its service's when they are due. What stands goes on until the next one is there. */
export class Renewing {
  readonly #parts: RenewingParts;
  readonly #random: () => number;
  readonly #bell = new Wakeup();
  readonly #backoff: Backoff;
  /** Until the next one is asked for, because the CA leaves; null while nobody said so. */
  #waitMs: number | null = null;
  #renewedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: RenewingParts) {
    this.#parts = parts;
    this.#random = parts.random ?? Math.random;
    this.#backoff = new Backoff({ ...RETRY, random: this.#random });
  }

  /** The CA of the agent's certificate leaves: the next one is asked for at a random moment within that time. */
  soon(spreadMs: number): void {
    if (this.#waitMs !== null) return;
    const restMs = this.#renewedAtMs + REST_MS - this.#parts.clock.monotonic();
    this.#waitMs = Math.max(restMs, spreadMs * this.#random());
    this.#bell.ring();
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let seen = 0; !signal.aborted; ) {
      seen = this.#bell.count;
      const waitMs = this.#waitMs;
      if (waitMs !== null) await delay(waitMs, signal).catch(() => {});
      if (signal.aborted) return;
      if (await this.#look(waitMs !== null, signal)) {
        // What was told in the meantime is not done yet.
        if (waitMs !== null) this.#waitMs = null;
        this.#backoff.reset();
        await rungOrDelayed(this.#bell, seen, LOOK_MS, signal).catch(() => {});
      } else {
        this.#waitMs = this.#backoff.next();
      }
    }
  }

  /** @returns false when it has to be tried again soon */
  async #look(told: boolean, signal: AbortSignal): Promise<boolean> {
    const { identity, service, asks, onRenewed, onServiceRenewed, clock, log } = this.#parts;
    let leaving = told;
    try {
      if (asks && !told) leaving = await isLeaving(identity(), signal);
      const notAfter = await renewWhenDue(identity(), clock.now(), signal, leaving);
      if (notAfter !== null) {
        this.#renewedAtMs = clock.monotonic();
        log.info({ notAfter, leaving }, "The agent's certificate was renewed");
        onRenewed(notAfter, leaving);
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, "Cannot renew the agent's certificate; the one before goes on");
      return !leaving;
    }
    try {
      const files = service();
      const notAfter = files === null ? null : await renewServiceWhenDue(identity(), files, clock.now(), signal);
      if (notAfter !== null) {
        log.info({ notAfter }, "The service's certificate was renewed");
        onServiceRenewed();
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, "Cannot renew the service's certificate; the one before goes on");
    }
    return true;
  }
}
