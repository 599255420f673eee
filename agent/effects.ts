import { delay } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { DesiredState, Pending } from "./desired.ts";
import { MAX_WAITING, mergeDifferences, sizeOf } from "./merging.ts";
import type { Differences, Target } from "./target.ts";

export const RETRY_MS = { minMs: 20, maxMs: 5_000 } as const;
/** A target but the first that takes longer than this holds up no later change of the others. */
const PATIENCE_MS = 50;
/** For so long it is told how long differences took. */
const LATELY_MS = 60_000;
const NOTHING: Differences = { rules: [], trust: [] };

/** What became of one round over all targets. */
export interface Round {
  /** They count up from 1. */
  readonly number: number;
  /** The first target, the gate in the kernel, is as shown. */
  readonly gate: boolean;
  /** One failed, was told of in the log, and is held until its wait is over; or is still held. */
  readonly failed: boolean;
  /** One is still at it. */
  readonly late: boolean;
  /** One took longer than it is waited for, with what this round shows. */
  readonly outlasted: boolean;
}

/** Work that outlasted its round. */
interface Late {
  readonly kind: "resync" | "apply";
  readonly sinceMs: number;
  readonly done: Promise<void>;
  /** What came meanwhile. */
  waiting: Differences;
}

/** Says that a failure is to be tried again, and waits that long. */
export async function waitToRetry(error: unknown, backoff: Backoff, log: Log, signal: AbortSignal): Promise<void> {
  const waitMs = backoff.next();
  log.error({ err: error, waitMs }, "Cannot apply; nothing is given up, trying again");
  await delay(waitMs, signal).catch(() => {});
}

/** The targets, in the order of effects, and which of them are to be resynced or left alone for a while. */
export class Effects {
  readonly #targets: readonly Target[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onReleased: () => void;
  /** Targets whose reality is not known: they are resynced, the others get the differences. */
  readonly #due: Set<Target>;
  /** Targets that failed and are not tried again yet, each with its own growing wait. */
  readonly #held = new Set<Target>();
  readonly #backoffs = new Map<Target, Backoff>();
  readonly #late = new Map<Target, Late>();
  /** What came while a target was late, to be given to it first. */
  readonly #kept = new Map<Target, Differences>();
  /** The last round that a target has all of. */
  readonly #has = new Map<Target, number>();
  #rounds = 0;
  #applying: { readonly sinceMs: number; readonly untilMs: number | null } | null = null;

  /** @param onReleased a target that failed may be tried again, or one that was late is done */
  constructor(targets: readonly Target[], clock: Clock, log: Log, onReleased: () => void) {
    this.#targets = targets;
    this.#clock = clock;
    this.#log = log;
    this.#onReleased = onReleased;
    this.#due = new Set(targets);
  }

  /** A target can be resynced now, or when its wait is over. */
  get due(): boolean {
    return [...this.#due].some((target) => !this.#late.has(target));
  }

  /** A target is not, or not known to be, as it was last shown. */
  get unfinished(): boolean {
    return this.#due.size + this.#late.size + this.#kept.size > 0;
  }

  /** The last round that every target has all of; 0 while there is none. */
  get everyHas(): number {
    return Math.min(...this.#targets.map((target) => this.#has.get(target) ?? 0));
  }

  /** Since when the target has been at it that has been for longest, monotonic ms; null where none is. @param only at what, at either by default */
  lateSinceMs(only?: Late["kind"]): number | null {
    const since = [...this.#late.values()].filter(({ kind }) => only === undefined || kind === only).map(({ sinceMs }) => sinceMs);
    return since.length === 0 ? null : Math.min(...since);
  }

  /** How long differences take that are on their way, or took lately; a resync does not count. Milliseconds. */
  get applyMs(): number {
    const now = this.#clock.monotonic();
    const lateMs = now - (this.lateSinceMs("apply") ?? now);
    if (this.#applying === null || now > (this.#applying.untilMs ?? now) + LATELY_MS) return lateMs;
    return Math.max(lateMs, (this.#applying.untilMs ?? now) - this.#applying.sinceMs);
  }

  /** @param targets which are to be resynced, all of them by default */
  makeDue(targets: readonly Target[] = this.#targets): void {
    for (const target of targets) this.#due.add(target);
  }

  /** Resolves when nothing of theirs goes on: they heard the signal of their round. */
  async settled(): Promise<void> {
    await Promise.all([...this.#late.values()].map(({ done }) => done));
  }

  /**
   * One that fails holds up none of the others: what is taken back is taken back wherever it can be, at once. It is resynced whole when
   * its wait is over, so the differences count as acknowledged by the others' word: what comes back meanwhile is a difference again.
   * One that is late holds up none of the others either; what comes meanwhile is kept for it.
   * @param shown may change once a target that was given it is late
   * @param closed targets are shown nothing: those that are not due have nothing to do
   */
  async round(shown: DesiredState, pending: Pending, closed: boolean, signal: AbortSignal): Promise<Round> {
    if (this.due) return await this.#round(shown, pending, closed, signal);
    const sinceMs = this.#clock.monotonic();
    this.#applying = { sinceMs, untilMs: null };
    const round = await this.#round(shown, pending, closed, signal);
    this.#applying = { sinceMs, untilMs: this.#clock.monotonic() };
    return round;
  }

  async #round(shown: DesiredState, pending: Pending, closed: boolean, signal: AbortSignal): Promise<Round> {
    const number = ++this.#rounds;
    let [gate, failed, late, outlasted] = [false, false, false, false];
    for (const [index, target] of this.#targets.entries()) {
      if (this.#held.has(target)) {
        failed = true;
        continue;
      }
      if (this.#late.has(target)) {
        late = true;
        if (!closed) this.#keep(target, pending);
        continue;
      }
      // Taken off before: whoever reports a change while it runs puts it back on.
      const due = this.#due.delete(target);
      const kept = this.#kept.get(target) ?? NOTHING;
      this.#kept.delete(target);
      if (!due && closed) {
        this.#has.set(target, number);
        if (index === 0) gate = true;
        continue;
      }
      const work = due ? target.resync(shown, signal) : target.apply(shown, mergeDifferences(kept, pending), signal);
      try {
        if (index === 0) await work;
        else if (await outlasts(work, PATIENCE_MS)) {
          late = outlasted = true;
          this.#letGoOn(target, due ? "resync" : "apply", number, work, signal);
          continue;
        }
        this.#backoffs.delete(target);
        this.#has.set(target, number);
        if (index === 0) gate = true;
      } catch (error) {
        failed = true;
        this.#failed(target, error, signal);
      }
    }
    return { number, gate, failed, late, outlasted };
  }

  #keep(target: Target, pending: Pending): void {
    const late = this.#late.get(target);
    if (late === undefined || this.#due.has(target)) return;
    late.waiting = mergeDifferences(late.waiting, target.trustAlone ? { ...NOTHING, trust: pending.trust } : pending);
    if (sizeOf(late.waiting) > MAX_WAITING) this.#due.add(target);
  }

  #letGoOn(target: Target, kind: Late["kind"], round: number, work: Promise<void>, signal: AbortSignal): void {
    const end = () => {
      const waiting = this.#late.get(target)?.waiting ?? NOTHING;
      this.#late.delete(target);
      return waiting;
    };
    const done = work.then(
      () => {
        const waiting = end();
        this.#backoffs.delete(target);
        this.#has.set(target, round);
        if (sizeOf(waiting) > 0 && !this.#due.has(target)) this.#kept.set(target, waiting);
        this.#onReleased();
      },
      (error) => {
        end();
        this.#failed(target, error, signal);
      },
    );
    this.#late.set(target, { kind, sinceMs: this.#clock.monotonic() - PATIENCE_MS, done, waiting: NOTHING });
  }

  #failed(target: Target, error: unknown, signal: AbortSignal): void {
    this.#due.add(target);
    if (signal.aborted) return;
    const backoff = this.#backoffs.get(target) ?? new Backoff(RETRY_MS);
    this.#backoffs.set(target, backoff);
    this.#held.add(target);
    void waitToRetry(error, backoff, this.#log, signal).then(() => {
      this.#held.delete(target);
      this.#onReleased();
    });
  }
}

/** @returns true when the work is not done after `ms`; it goes on. @throws what the work throws before that */
function outlasts(work: Promise<void>, ms: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(true), ms);
  void work.then(() => resolve(false), reject).finally(() => clearTimeout(timer));
  return promise;
}
