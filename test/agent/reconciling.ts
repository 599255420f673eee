import { DesiredState, type Pending } from "../../agent/desired.ts";
import { type Applied, Reconciler } from "../../agent/reconciler.ts";
import type { Position, Replacement } from "../../agent/state.ts";
import { RegistryTime } from "../../agent/time.ts";
import { Latch } from "../../lib/latch.ts";
import { silentLog } from "../../lib/log.ts";
import { FakeClock, MemoryTarget } from "./fake.ts";

class MemoryDisk {
  readonly saves: string[] = [];
  /** Rules, as what was saved leaves them. */
  rules = new Set<string>();
  begun = 0;
  disposed = 0;
  failures = 0;
  onFailure = (): void => {};
  onBegin = (_rules: ReadonlySet<string>): void => {};

  save(position: Position, { rules, trust }: Pending): void {
    this.#maybeFail();
    for (const { prefix, wanted } of rules) {
      if (wanted === null) this.rules.delete(prefix);
      else this.rules.add(prefix);
    }
    this.saves.push(`save ${position.revision} +${rules.length + trust.length}`);
  }

  begin(position: Position, desired: DesiredState): Replacement {
    this.begun++;
    const whole = new Set([...desired.rules()].map(({ prefix }) => prefix));
    this.onBegin(whole);
    return {
      step: () => false,
      commit: () => {
        this.#maybeFail();
        this.rules = whole;
        this.saves.push(`replace ${position.revision} =${desired.size}`);
      },
      [Symbol.dispose]: () => {
        this.disposed++;
      },
    };
  }

  #maybeFail(): void {
    if (this.failures === 0) return;
    this.failures--;
    this.onFailure();
    throw new Error("the disk is full");
  }
}

/** A running reconciler with everything around it in memory. */
export function setUp({ saved = false } = {}) {
  const desired = new DesiredState();
  desired.epoch = "e1";
  const [target, second] = [new MemoryTarget(), new MemoryTarget()];
  const disk = new MemoryDisk();
  const clock = new FakeClock();
  const settled = new Latch();
  const told: number[] = [];
  const waiting: { revision: number; resolve: (applied: Applied) => void }[] = [];
  let closed = false;
  const abort = new AbortController();
  const reconciler = new Reconciler({
    desired,
    targets: [target, second],
    state: disk,
    saved,
    time: new RegistryTime(clock),
    clock,
    log: silentLog,
    settled,
    isClosed: () => closed,
    onApplied: (applied) => {
      told.push(applied.revision);
      for (const entry of waiting.splice(0)) {
        if (applied.revision >= entry.revision) entry.resolve(applied);
        else waiting.push(entry);
      }
    },
  });
  const running = reconciler.run(abort.signal);
  return {
    desired,
    target,
    second,
    disk,
    settled,
    told,
    reconciler,
    close: (value: boolean) => {
      closed = value;
      reconciler.ring();
    },
    set: (prefix: string, expiresAt: number) => {
      desired.change({ kind: "rule.set", lane: "ip", prefix, expiresAt });
      desired.revision++;
      reconciler.ring();
    },
    remove: (prefix: string) => {
      desired.change({ kind: "rule.remove", lane: "ip", prefix });
      desired.revision++;
      reconciler.ring();
    },
    /** The gate stands, and the desired state may change. */
    async stood() {
      await reconciler.stands;
      await settled.passed();
    },
    applied: (revision: number) => new Promise<Applied>((resolve) => waiting.push({ revision, resolve })),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
    },
  };
}
