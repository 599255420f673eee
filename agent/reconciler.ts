import { Wakeup } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { Latch } from "../lib/latch.ts";
import type { Log } from "../lib/log.ts";
import { DesiredState, type Pending } from "./desired.ts";
import { Effects, RETRY_MS, waitToRetry } from "./effects.ts";
import { Saving } from "./saving.ts";
import type { Position, StateFile } from "./state.ts";
import type { Target } from "./target.ts";
import type { RegistryTime } from "./time.ts";

/** Effects that go on for longer than this are stuck: 5,000,000 rules load in less than a minute. */
const LONGEST_ROUND_MS = 600_000;
const LATELY_MS = 60_000;

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
  /** The disk holds what was last acknowledged: differences go on top. */
  #savedWhole: boolean;
  /** Resolves when saving, which failed, is to be tried again; null while nothing keeps it from being tried. */
  #saveDue: Promise<void> | null = null;
  #applied: Applied | null = null;
  #busySinceMs: number | null = null;
  #applying: { readonly sinceMs: number; readonly untilMs: number | null } | null = null;
  #ended = false;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#savedWhole = parts.saved;
    this.#effects = new Effects(parts.targets, parts.log, () => this.#wakeup.ring());
  }

  /** The first target, the gate in the kernel, acknowledged a whole state at least once. */
  get gateStands(): boolean {
    return this.#gateStands;
  }

  /** Resolves when the gate stands for the first time. */
  get stands(): Promise<void> {
    return this.#stands.promise;
  }

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

  /**
   * How long the differences take that are on their way to the targets, or took that were lately; 0 when none were. Milliseconds. A resync,
   * which may take long, does not count.
   */
  get applyMs(): number {
    const now = this.#parts.clock.monotonic();
    if (this.#applying === null || now > (this.#applying.untilMs ?? now) + LATELY_MS) return 0;
    return (this.#applying.untilMs ?? now) - this.#applying.sinceMs;
  }

  /** Resolves while the loop runs, whatever a target does. @throws Error when it ended or is stuck in its effects */
  async answers(): Promise<void> {
    if (this.#ended) throw new Error("the loop has ended");
    const busyMs = this.#busySinceMs === null ? 0 : this.#parts.clock.monotonic() - this.#busySinceMs;
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
    this.#savedWhole = false;
    if (!kept) this.#effects.makeDue();
    this.#wakeup.ring();
  }

  /** Runs until the signal aborts; a failing target never ends it. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#loop(signal);
    } finally {
      this.#ended = true;
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
        this.#failing = true;
        // A target that failed rings when it is to be tried again; the others get what comes meanwhile at once.
        if (error instanceof TargetError) continue;
        if (error instanceof SaveError) await this.#rungOrSaveDue(error, seen, signal);
        else await waitToRetry(error, this.#backoff, this.#parts.log, signal);
        seen = -1;
      } finally {
        this.#busySinceMs = null;
      }
    }
  }

  /** The disk is tried again when it is due. What comes meanwhile goes to the kernel at once: a full disk holds up no revocation. */
  async #rungOrSaveDue(error: SaveError, seen: number, signal: AbortSignal): Promise<void> {
    this.#saveDue ??= waitToRetry(error, this.#backoff, this.#parts.log, signal).then(() => {
      this.#saveDue = null;
    });
    const either = new AbortController();
    const rung = this.#wakeup.after(seen, AbortSignal.any([signal, either.signal])).catch(() => {});
    await Promise.race([this.#saveDue, rung]);
    either.abort(new Error("the save is due"));
  }

  async #once(signal: AbortSignal): Promise<void> {
    const closed = this.#parts.isClosed();
    if (closed !== this.#closed) {
      this.#switching = true;
      this.#effects.makeDue();
    }
    if (this.#effects.due) await this.#resync(closed, signal);
    else if (!closed) await this.#apply(signal);
  }

  async #resync(closed: boolean, signal: AbortSignal): Promise<void> {
    const { desired, clock, settled } = this.#parts;
    const started = clock.monotonic();
    settled.close();
    try {
      this.#closed = closed;
      const serving = this.#asked;
      const pending = desired.pending();
      const onTop = this.#savedWhole;
      // Written while the targets work, committed after them.
      await using saving = closed || onTop || this.#saveDue !== null ? null : this.#save();
      const { gate, failed } = await this.#effects.round(closed ? new DesiredState() : desired, pending, closed, signal);
      if (gate) {
        this.#gateStands = true;
        this.#stands.resolve();
      }
      if (!closed) {
        desired.acknowledgeAll();
        this.#savedWhole = false;
      }
      if (failed) throw new TargetError();
      this.#switching = false;
      this.#served = serving;
      this.#servedBell.ring();
      if (closed) return;
      const changes = desired.size + desired.trustSize;
      await this.#finish(positionOf(desired, this.#parts.time), onTop ? pending : saving, changes, clock.monotonic() - started);
    } finally {
      settled.open();
    }
  }

  async #apply(signal: AbortSignal): Promise<void> {
    const { desired, clock, time, settled } = this.#parts;
    const position = positionOf(desired, time);
    const known = position === null || (position.revision === this.#applied?.revision && position.epoch === this.#applied.epoch);
    if (known && desired.pendingSize === 0 && this.#savedWhole) return;
    const started = clock.monotonic();
    const pending = desired.pending();
    this.#applying = { sinceMs: started, untilMs: null };
    const { failed } = await this.#effects.round(desired, pending, false, signal);
    this.#applying = { sinceMs: started, untilMs: clock.monotonic() };
    desired.acknowledge(pending);
    if (failed) {
      this.#savedWhole = false;
      throw new TargetError();
    }
    const changes = pending.rules.length + pending.trust.length;
    const tookMs = clock.monotonic() - started;
    if (this.#savedWhole || this.#saveDue !== null) return this.#finish(position, pending, changes, tookMs);
    settled.close();
    try {
      await using saving = this.#save();
      await this.#finish(position, saving, changes, tookMs);
    } finally {
      settled.open();
    }
  }

  /** Begins to save the whole; null when there is nothing. Disk may run ahead of the kernel, never behind what is told. */
  #save(): Saving | null {
    const { desired, state, time } = this.#parts;
    const position = positionOf(desired, time);
    return position === null ? null : new Saving(() => state.begin(position, desired));
  }

  /** In the kernel; now on disk, then told. What cannot be saved is not told, and is saved whole at the next try. */
  async #finish(position: Position | null, saved: Pending | Saving | null, changes: number, tookMs: number): Promise<void> {
    const { state, time, onApplied } = this.#parts;
    if (position === null) {
      this.#savedWhole = true;
      return;
    }
    if (this.#saveDue !== null) throw new SaveError("Saving waits until it is due again");
    try {
      if (saved instanceof Saving) await saved.commit();
      else if (saved !== null) state.save(position, saved);
      this.#savedWhole = true;
    } catch (cause) {
      this.#savedWhole = false;
      throw new SaveError("Cannot save the applied state", { cause });
    }
    this.#applied = { epoch: position.epoch, revision: position.revision, digest: position.digest, atMs: time.now(), tookMs, changes };
    onApplied(this.#applied);
  }
}

/** A target failed, was told of in the log, and is held until its wait is over. */
class TargetError extends Error {}

/** The kernel is right and the disk is not: no reason to touch the kernel. */
class SaveError extends Error {}

function positionOf(desired: DesiredState, time: RegistryTime): Position | null {
  if (desired.epoch === null) return null;
  return { epoch: desired.epoch, revision: desired.revision, digest: desired.digest, seenMs: time.seenMs };
}
