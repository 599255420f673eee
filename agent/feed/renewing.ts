import { delay, Wakeup } from "../../lib/abort.ts";
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
/** While its CA leaves the agent's own certificate waits for its service's, for so long at most: the CA is not taken out before agents left it. */
const HOLD_MS = 10 * 60_000;

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
  /** Since when the agent's own renewal waits for its service's. */
  #heldBackAtMs: number | null = null;

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
        await this.#bell.after(seen, signal, LOOK_MS).catch(() => {});
      } else {
        this.#waitMs = this.#backoff.next();
      }
    }
  }

  /** @returns false when it has to be tried again soon */
  async #look(told: boolean, signal: AbortSignal): Promise<boolean> {
    const { identity, asks, clock, log } = this.#parts;
    let leaving = told;
    let held = false;
    try {
      if (asks && !told) leaving = await isLeaving(identity(), signal);
      held = leaving && this.#isHeld(await this.#renewService(true, signal), clock.monotonic());
      await this.#renewOwn(leaving && !held, signal);
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, "Cannot renew the agent's certificate; the one before goes on");
      return !leaving;
    }
    if (!leaving) await this.#renewService(false, signal);
    return !held;
  }

  #isHeld(isServiceDone: boolean, atMs: number): boolean {
    this.#heldBackAtMs = isServiceDone ? null : (this.#heldBackAtMs ?? atMs);
    return this.#heldBackAtMs !== null && atMs - this.#heldBackAtMs < HOLD_MS;
  }

  async #renewOwn(leaving: boolean, signal: AbortSignal): Promise<void> {
    const { identity, onRenewed, clock, log } = this.#parts;
    const notAfter = await renewWhenDue(identity(), clock.now(), signal, leaving);
    if (notAfter === null) return;
    this.#renewedAtMs = clock.monotonic();
    this.#heldBackAtMs = null;
    log.info({ notAfter, leaving }, "The agent's certificate was renewed");
    onRenewed(notAfter, leaving);
  }

  /** @returns false when it was due and could not be had */
  async #renewService(leaving: boolean, signal: AbortSignal): Promise<boolean> {
    const { identity, service, onServiceRenewed, clock, log } = this.#parts;
    try {
      const files = service();
      const notAfter = files === null ? null : await renewServiceWhenDue(identity(), files, clock.now(), signal, leaving);
      if (notAfter !== null) {
        log.info({ notAfter, leaving }, "The service's certificate was renewed");
        onServiceRenewed();
      }
      return true;
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, "Cannot renew the service's certificate; the one before goes on");
      return false;
    }
  }
}
