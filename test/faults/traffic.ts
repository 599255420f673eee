import { delay } from "../../lib/abort.ts";
import type { Control } from "../../registry/cli/control.ts";
import { waitFor } from "../lab/wait.ts";
import { type Deed, type Send, Violation } from "./deeds.ts";
import type { KnownCode, KnownDevice, Model } from "./model.ts";
import { makingCode, revoking, withdrawing } from "./operating.ts";
import type { Chance } from "./random.ts";
import { PROFILES } from "./stand.ts";
import { Leaving, Registering, Renewing, Submitting } from "./submitting.ts";

/** Few enough that devices share addresses all the time; single ones and blocks of both families. */
const POOL: readonly string[] = [
  ...Array.from({ length: 40 }, (_, i) => `198.18.0.${i + 1}`),
  ...Array.from({ length: 6 }, (_, i) => `198.18.1.${i * 16}/28`),
  ...Array.from({ length: 20 }, (_, i) => `2001:db8:f:${i}::/64`),
  ...Array.from({ length: 14 }, (_, i) => `2001:db8:f:ffff::${i + 1}`),
];
const WEIGHTS = { register: 10, renew: 4, revoke: 3, leave: 2, makeCode: 2, withdraw: 0.3, repeat: 2 };
/** Settled submissions that a repetition is drawn from. */
const REMEMBERED = 40;
/** Between two requests of a caller whose last one got no answer. */
const PAUSE_MS = 50;
const SETTLE_TIMEOUT_MS = 120_000;

export interface TrafficParts {
  readonly model: Model;
  readonly send: Send;
  readonly control: Control;
  readonly registry: string;
  readonly chance: Chance;
}

/** The stream of registrations, renewals, leaves, revocations, codes and repetitions. What gets no answer is kept, to be asked again. */
export class Traffic {
  readonly counts = { asked: 0, unanswered: 0, repeated: 0 };
  readonly violations: string[] = [];
  readonly #parts: TrafficParts;
  #open: Deed[] = [];
  readonly #settled: Submitting[] = [];

  constructor(parts: TrafficParts) {
    this.#parts = parts;
  }

  /** `callers` ask side by side, one deed after the other each, until the signal aborts; resolves when the last one is done. */
  async run(callers: number, signal: AbortSignal): Promise<void> {
    const call = async () => {
      while (!signal.aborted && this.violations.length === 0) {
        // As a client that backs off: what cannot be reached is not asked a thousand times a second.
        if (!(await this.#do(this.#next()))) await delay(PAUSE_MS, signal).catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: callers }, call));
  }

  /** Asks everything again that got no answer, until all of it has one. */
  async settle(): Promise<void> {
    const once = async () => {
      const open = this.#open;
      this.#open = [];
      this.counts.repeated += open.length;
      for (const deed of open) await this.#do(deed);
      return this.#open.length === 0 || this.violations.length > 0 || undefined;
    };
    await waitFor("an answer to everything that was asked", once, { timeoutMs: SETTLE_TIMEOUT_MS, everyMs: 100 });
  }

  /** @returns whether it was answered */
  async #do(deed: Deed): Promise<boolean> {
    this.counts.asked++;
    try {
      if (await deed.ask()) {
        if (deed instanceof Submitting && !this.#settled.includes(deed)) this.#settled.push(deed);
        if (this.#settled.length > REMEMBERED) this.#settled.shift();
        return true;
      }
      this.counts.unanswered++;
      this.#open.push(deed);
      return false;
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.violations.push(error.message);
      return true;
    }
  }

  #next(): Deed {
    const { model, control, send, registry, chance } = this.#parts;
    const codes = [...model.codes.values()].filter((code) => !code.unsure && code.withdrawnAt === null);
    const devices = [...model.devices.values()].filter((device) => !device.ended && !device.unsure);
    const usable = codes.filter((code) => code.enrolled < code.uses);
    switch (chance.weighted(WEIGHTS)) {
      case "revoke":
        return devices.length > 0 ? revoking(control, chance.pick<KnownDevice>(devices)) : this.#makeCode();
      case "withdraw":
        return codes.length > 1 ? withdrawing(control, chance.pick<KnownCode>(codes)) : this.#makeCode();
      case "renew":
        return devices.length > 0 ? new Renewing(send, registry, chance.pick(devices), this.#addresses()) : this.#makeCode();
      case "leave":
        return devices.length > 0 ? new Leaving(send, registry, chance.pick(devices)) : this.#makeCode();
      case "repeat":
        return this.#settled.length > 0 ? chance.pick(this.#settled) : this.#makeCode();
      case "makeCode":
        return this.#makeCode();
      default:
        // Now and then with a code that may be used up by now: it must enrol nobody more.
        if (usable.length === 0) return this.#makeCode();
        return this.#register(chance.pick(chance.next() < 0.9 ? usable : codes));
    }
  }

  #makeCode(): Deed {
    const { model, control, chance } = this.#parts;
    return makingCode(model, control, chance.next() < 0.8 ? PROFILES.long : PROFILES.brief, chance.whole(1, 12)).deed;
  }

  #register(code: KnownCode): Deed {
    const { model, send, registry } = this.#parts;
    return new Registering(model, send, registry, code, this.#addresses());
  }

  #addresses(): readonly string[] {
    const { chance } = this.#parts;
    return [...new Set(Array.from({ length: chance.whole(1, 3) }, () => chance.pick(POOL)))];
  }
}
