import { Wakeup } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { Latch } from "../lib/latch.ts";
import type { Log } from "../lib/log.ts";
import { DesiredState, type Pending } from "./desired.ts";
import { Effects, RETRY_MS, type Round, waitToRetry } from "./effects.ts";
import { sizeOf } from "./merging.ts";
import { Disk, positionOf, SaveError, type Saving } from "./saving.ts";
import type { Position, StateFile } from "./state.ts";
import type { Target } from "./target.ts";
import type { RegistryTime } from "./time.ts";

/** Effects that go on for longer than this are stuck: 5,000,000 rules load in less than a minute. */
const LONGEST_ROUND_MS = 600_000;

/** What is in the kernel and on disk. */
export interface Applied {
  readonly epoch: string | null;
  readonly revision: number;
  readonly digest: string;
  /** Registry time when it was acknowledged, and how long the effects took, milliseconds. */
  readonly atMs: number;
  readonly tookMs: number;
  readonly changes: number;
}

/** What goes on from the desired state to the targets. */
interface Work {
  /** Null when there is nothing to tell. */
  readonly position: Position | null;
  /** Resyncs asked for before it began. */
  readonly serving: number;
  /** Monotonic ms. */
  readonly started: number;
  readonly changes: number;
}

export interface ReconcilerParts {
  readonly desired: DesiredState;
  /** In the order of effects. */
  readonly targets: readonly Target[];
  readonly state: Pick<StateFile, "save" | "begin">;
  /** The disk holds the desired state as it is at the start. */
  readonly saved: boolean;
  readonly time: RegistryTime;
  readonly clock: Clock;
  readonly log: Log;
  /** Closed while a resync reads the desired state, so that nobody changes it meanwhile. */
  readonly settled: Latch;
  /** The desired state is to be left out: the host is configured to close when it is stale. */
  readonly isClosed: () => boolean;
  readonly onApplied: (applied: Applied) => void;
}

/**
 * The one loop that owns all effects: awaits a ring, coalesces, applies once, saves, tells; on failure everything stays dirty,
 * it backs off and resyncs. Pending work is cleared only after success.
 */
export class Reconciler {
  readonly name = "reconciler";
  readonly #parts: ReconcilerParts;
  readonly #wakeup = new Wakeup();
  readonly #backoff = new Backoff(RETRY_MS);
  readonly #effects: Effects;
  readonly #disk: Disk;
  /** Resyncs asked for, and up to which of them one was begun and succeeded. */
  #asked = 0;
  #served = 0;
  readonly #servedBell = new Wakeup();
  #failing = false;
  readonly #stands = Promise.withResolvers<void>();
  #gateStands = false;
  #closed = false;
  /** What the targets are shown, all or nothing, is another than before, and not all of them have acknowledged it. */
  #switching = false;
  #applied: Applied | null = null;
  /** Saved, and with a target that was late with it; by round. */
  #untold: (Work & { readonly round: number })[] = [];
  #busySinceMs: number | null = null;
  #sinceMs: number | null = null;
  #ended = false;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#disk = new Disk(parts.state, parts.saved, parts.log);
    this.#effects = new Effects(parts.targets, parts.clock, parts.log, () => this.#wakeup.ring());
  }

  /** The first target, the gate in the kernel, acknowledged a whole state at least once. */
  get gateStands(): boolean {
    return this.#gateStands;
  }

  /** Resolves when the gate stands for the first time. */
  get stands(): Promise<void> {
    return this.#stands.promise;
  }

  /** A target failed, or is to be made anew. One that is late is neither. */
  get dirty(): boolean {
    return this.#failing || this.#switching || this.#effects.due;
  }

  /** Every target acknowledged that nothing is to be let in, on purpose: see {@link ReconcilerParts.isClosed}. */
  get closed(): boolean {
    return this.#closed && !this.#switching;
  }

  get applied(): Applied | null {
    return this.#applied;
  }

  /** As {@link Effects.applyMs}. */
  get applyMs(): number {
    return this.#effects.applyMs;
  }

  /** Resolves while the loop runs, whatever a target does. @throws Error when it ended or is stuck in its effects */
  async answers(): Promise<void> {
    if (this.#ended) throw new Error("the loop has ended");
    const now = this.#parts.clock.monotonic();
    const busyMs = now - Math.min(this.#busySinceMs ?? now, this.#effects.lateSinceMs() ?? now);
    if (busyMs > LONGEST_ROUND_MS) throw new Error(`its effects have been going on for ${Math.round(busyMs / 1_000)} s`);
  }

  /** The desired state changed. */
  ring(): void {
    this.#wakeup.ring();
  }

  /** What stands is no longer known: someone changed it. @param targets of which, all of them by default */
  requestResync(reason: string, targets: readonly Target[] = this.#parts.targets): void {
    this.#parts.log.warn({ reason, targets: targets.map(({ name }) => name) }, "Resync is due");
    this.#asked++;
    this.#effects.makeDue(targets);
    this.#wakeup.ring();
  }

  /** As {@link requestResync} of all targets; resolves when a resync begun after this call succeeded. */
  async resync(reason: string, signal: AbortSignal): Promise<void> {
    this.requestResync(reason);
    const wanted = this.#asked;
    for (let seen = this.#servedBell.count; this.#served < wanted; seen = this.#servedBell.count)
      await this.#servedBell.after(seen, signal);
  }

  /** The desired state was replaced whole; `kept` says whether its differences are known. */
  replaced(kept: boolean): void {
    this.#disk.whole = false;
    if (!kept) this.#effects.makeDue();
    this.#wakeup.ring();
  }

  /** Runs until the signal aborts; a failing target never ends it. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#loop(signal);
    } finally {
      this.#ended = true;
      await this.#effects.settled();
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    let seen = -1;
    while (!signal.aborted) {
      try {
        await this.#wakeup.after(seen, signal);
        seen = this.#wakeup.count;
        this.#busySinceMs = this.#parts.clock.monotonic();
        await this.#once(signal);
        if (this.#failing) this.#parts.log.info({}, "Applied again after a failure");
        this.#failing = false;
        this.#backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof LateError) continue;
        this.#failing = true;
        // A target that failed rings when it is to be tried again; the others get what comes meanwhile at once.
        if (error instanceof TargetError) continue;
        if (error instanceof SaveError) await this.#disk.rungOrDue(error, this.#wakeup, seen, signal);
        else await waitToRetry(error, this.#backoff, this.#parts.log, signal);
        seen = -1;
      } finally {
        this.#busySinceMs = null;
      }
    }
  }

  async #once(signal: AbortSignal): Promise<void> {
    const closed = this.#parts.isClosed();
    if (closed !== this.#closed) {
      this.#switching = true;
      this.#untold = [];
      this.#effects.makeDue();
    } else this.#tell();
    if (this.#effects.due || (!closed && this.#disk.wantsWhole)) await this.#still(closed, signal);
    else if (!closed) await this.#apply(signal);
    else if (!this.#effects.unfinished) this.#serve(this.#asked);
  }

  /**
   * A round while the desired state stands still: targets or the disk get it whole. The disk gets what the targets are given and no more:
   * what came and went before the next round is no difference, and nothing would take it off the disk again.
   */
  async #still(closed: boolean, signal: AbortSignal): Promise<void> {
    const { desired, settled, time } = this.#parts;
    settled.close();
    try {
      this.#closed = closed;
      const position = closed ? null : positionOf(desired, time);
      const pending = desired.pending();
      const onTop = this.#disk.whole;
      const work = this.#begin(position, this.#effects.due ? desired.size + desired.trustSize : sizeOf(pending));
      // Written while the targets work, committed after them.
      await using saving = !closed && this.#disk.wantsWhole ? this.#disk.begin(position, desired) : null;
      const round = await this.#effects.round(closed ? new DesiredState() : desired, pending, closed, signal);
      if (!closed) {
        desired.acknowledgeAll();
        this.#disk.whole = false;
      }
      await this.#finish(round, onTop ? pending : saving, work);
    } finally {
      settled.open();
    }
  }

  async #apply(signal: AbortSignal): Promise<void> {
    const { desired, time } = this.#parts;
    const position = positionOf(desired, time);
    const known = position === null || (position.revision === this.#applied?.revision && position.epoch === this.#applied.epoch);
    if (known && desired.pendingSize === 0 && this.#disk.whole && !this.#effects.unfinished) return this.#serve(this.#asked);
    const pending = desired.pending();
    const work = this.#begin(position, sizeOf(pending));
    const round = await this.#effects.round(desired, pending, false, signal);
    desired.acknowledge(pending);
    if (!round.gate) this.#disk.whole = false;
    // Replaced meanwhile, or a disk that failed is to be tried again: the next round stands still.
    else if (this.#disk.wantsWhole) return this.#wakeup.ring();
    await this.#finish(round, pending, work);
  }

  /** When what is under way began: with a target that is late it began earlier. */
  #begin(position: Position | null, changes: number): Work {
    this.#sinceMs ??= this.#parts.clock.monotonic();
    return { position, serving: this.#asked, started: this.#sinceMs, changes };
  }

  /**
   * In the kernel; now on disk, whatever becomes of the other targets, so that who starts again without a registry knows of it; then, when
   * all of them have it, told. What cannot be saved is not told, and is saved whole at the next try.
   */
  async #finish({ number, gate, failed, late, outlasted }: Round, saved: Pending | Saving | null, work: Work): Promise<void> {
    const { position } = work;
    if (gate && !late) this.#stand();
    if (!late) this.#sinceMs = null;
    if (position === null && !this.#closed) this.#disk.whole = true;
    if (position !== null && gate) await this.#disk.store(position, saved);
    if (gate && (outlasted || !(late || failed))) this.#untold.push({ ...work, round: number });
    this.#tell();
    if (failed) throw new TargetError();
    if (late) throw new LateError();
  }

  /** Of what all targets have by now the last, though one may be at what came after it: who is late each time has it told too. */
  #tell(): void {
    const [{ clock, time, onApplied }, { everyHas }] = [this.#parts, this.#effects];
    const work = this.#untold.findLast(({ round }) => round <= everyHas);
    if (work === undefined) return;
    this.#untold = this.#untold.filter(({ round }) => round > everyHas);
    this.#sinceMs = null;
    this.#serve(work.serving);
    if (work.position === null) return;
    const { epoch, revision, digest } = work.position;
    this.#applied = { epoch, revision, digest, atMs: time.now(), tookMs: clock.monotonic() - work.started, changes: work.changes };
    onApplied(this.#applied);
  }

  #stand(): void {
    this.#gateStands = true;
    this.#stands.resolve();
  }

  /** Every target has what it was last shown, and every resync up to this one was begun before. */
  #serve(asked: number): void {
    this.#stand();
    this.#switching = false;
    if (this.#served === asked) return;
    this.#served = asked;
    this.#servedBell.ring();
  }
}

/** A target is still at it, and rings when it is done. */
class LateError extends Error {}

/** A target failed, was told of in the log, and is held until its wait is over. */
class TargetError extends Error {}
