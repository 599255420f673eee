import { setImmediate } from "node:timers/promises";
import { Following, type Wakeup } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import type { Log } from "../lib/log.ts";
import type { DesiredState, Pending } from "./desired.ts";
import { RETRY_MS, waitToRetry } from "./effects.ts";
import type { Position, Replacement, StateFile } from "./state.ts";
import type { RegistryTime } from "./time.ts";

/**
 * The whole state on its way to disk, a slice at a time, so that everything else goes on in between: the targets, the feed's heartbeats,
 * the status socket. A disk that fails is told by {@link commit} alone. Disposing without it leaves what was saved before.
 */
export class Saving implements AsyncDisposable {
  readonly #written: Promise<void>;
  #whole: Replacement | null = null;
  #failure: { readonly error: unknown } | null = null;
  #over = false;

  /** @param begin the state must not change from then on until this is disposed of */
  constructor(begin: () => Replacement) {
    this.#written = this.#write(begin);
  }

  /** Durable when it resolves. @throws what the disk's failure was */
  async commit(): Promise<void> {
    await this.#written;
    if (this.#failure !== null) throw this.#failure.error;
    this.#whole?.commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#written;
    this.#whole?.[Symbol.dispose]();
  }

  async #write(begin: () => Replacement): Promise<void> {
    try {
      this.#whole = begin();
      while (!this.#over && this.#whole.step()) await setImmediate();
    } catch (error) {
      this.#failure = { error };
    }
  }
}

/** The kernel is right and the disk is not: no reason to touch the kernel. */
export class SaveError extends Error {}

/** The applied state on disk: whether differences can go on top of what is there, and when a disk that failed is to be tried again. */
export class Disk {
  readonly #state: Pick<StateFile, "save" | "begin">;
  readonly #log: Log;
  readonly #backoff = new Backoff(RETRY_MS);
  /** Resolves when saving, which failed, is to be tried again; null while nothing keeps it from being tried. */
  #due: Promise<void> | null = null;
  /** The disk holds what was last acknowledged: differences go on top. */
  whole: boolean;

  /** @param whole the disk holds the desired state as it is at the start */
  constructor(state: Pick<StateFile, "save" | "begin">, whole: boolean, log: Log) {
    this.#state = state;
    this.#log = log;
    this.whole = whole;
  }

  /** What is to be saved is the whole state, now. */
  get wantsWhole(): boolean {
    return !this.whole && this.#due === null;
  }

  /** Begins to save the whole; null when there is nothing. It may run ahead of the kernel, never behind what is told. */
  begin(position: Position | null, desired: DesiredState): Saving | null {
    return position === null ? null : new Saving(() => this.#state.begin(position, desired));
  }

  /** Durable when it resolves. @param saved null where nothing was begun @throws SaveError and saves the whole at the next try */
  async store(position: Position, saved: Pending | Saving | null): Promise<void> {
    if (this.#due !== null || saved === null) throw new SaveError("Saving waits until it is due again");
    try {
      if (saved instanceof Saving) await saved.commit();
      else this.#state.save(position, saved);
      this.whole = true;
      this.#backoff.reset();
    } catch (cause) {
      this.whole = false;
      throw new SaveError("Cannot save the applied state", { cause });
    }
  }

  /** Resolves when the disk is to be tried again, or when that bell rings: what comes meanwhile goes to the kernel at once. */
  async rungOrDue(error: SaveError, bell: Wakeup, seen: number, signal: AbortSignal): Promise<void> {
    this.#due ??= waitToRetry(error, this.#backoff, this.#log, signal).then(() => {
      this.#due = null;
    });
    const either = new AbortController();
    using both = new Following(signal, either.signal);
    const rung = bell.after(seen, both.signal).catch(() => {});
    await Promise.race([this.#due, rung]);
    either.abort(new Error("the save is due"));
  }
}

/** Where the desired state is in the registry's history; null before it is anywhere. */
export function positionOf(desired: DesiredState, time: RegistryTime): Position | null {
  if (desired.epoch === null) return null;
  return { epoch: desired.epoch, revision: desired.revision, digest: desired.digest, seenMs: time.seenMs };
}
