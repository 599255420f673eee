import type { DesiredState } from "../../agent/desired.ts";
import type { Differences, Target } from "../../agent/target.ts";
import type { Clock } from "../../lib/clock.ts";

/** A clock that moves only when told. */
export class FakeClock implements Clock {
  wallMs: number;
  monotonicMs = 0;

  constructor(wallMs = 1_000_000) {
    this.wallMs = wallMs;
  }

  now(): number {
    return this.wallMs;
  }

  monotonic(): number {
    return this.monotonicMs;
  }

  /** Time passes on both clocks. */
  pass(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }
}

/** A target that holds rules in memory, can fail, and can be held up in the middle of an effect. */
export class MemoryTarget implements Target {
  readonly name = "memory";
  trustAlone = false;
  readonly rules = new Map<string, number>();
  readonly trust = new Map<string, string>();
  readonly calls: string[] = [];
  failures = 0;
  held: Promise<void> | null = null;

  async resync(desired: DesiredState): Promise<void> {
    this.calls.push("resync");
    await this.held;
    this.#maybeFail();
    this.rules.clear();
    this.trust.clear();
    for (const { lane, prefix, expiresAt } of desired.rules()) this.rules.set(`${lane} ${prefix}`, expiresAt);
    for (const { target, id, body } of desired.trust()) this.trust.set(`${target} ${id}`, body);
  }

  async apply(_desired: DesiredState, { rules, trust }: Differences): Promise<void> {
    this.calls.push(`apply ${rules.length + trust.length}`);
    await this.held;
    this.#maybeFail();
    for (const { lane, prefix, wanted } of rules) {
      if (wanted === null) this.rules.delete(`${lane} ${prefix}`);
      else this.rules.set(`${lane} ${prefix}`, wanted);
    }
    for (const { target, id, wanted } of trust) {
      if (wanted === null) this.trust.delete(`${target} ${id}`);
      else this.trust.set(`${target} ${id}`, wanted);
    }
  }

  #maybeFail(): void {
    if (this.failures === 0) return;
    this.failures--;
    throw new Error("the kernel refused");
  }
}
