import { delay } from "../../lib/abort.ts";
import { createMaster, type Master, MasterError, NotTakenError, readWorkers, type Workers } from "./master.ts";
import { lives } from "./running.ts";

/**
 * A reload takes the master's socket away for a moment: 0.2 s measured, with a million certificates for as long as it takes to read them,
 * on a busy host more than ten seconds. One that stays away longer is no reload.
 */
const RELOAD_WITHIN_MS = 60_000;
/** On a first look nobody knows whether a reload is under way. */
const FIRST_LOOK_MS = 1_000;
const LOOK_AGAIN_MS = 25;

/** As when it is reloaded, or there is none. */
const isPassing = (error: unknown): error is MasterError =>
  error instanceof MasterError && (error.kind === "away" || error.kind === "absent");

/** Follows HAProxy's processes, so that "nobody answers" is told apart from "it is being reloaded", when the old worker still serves. */
export class WorkerList {
  readonly #master: Master;
  #known: readonly number[] | null = null;
  #masterPid: number | null = null;

  constructor(socketPath: string, master: Master = createMaster(socketPath)) {
    this.#master = master;
  }

  get master(): Master {
    return this.#master;
  }

  /** @returns null when no HAProxy runs: nobody is let in, and the next one reads the files. @throws MasterError */
  async look(signal: AbortSignal): Promise<Workers | null> {
    for (let waitedMs = 0; ; waitedMs += LOOK_AGAIN_MS) {
      try {
        const answer = await this.#master.command("show proc", { signal });
        const workers = readWorkers(answer);
        this.#masterPid = Number(/^(\d+)\s+master\b/m.exec(answer)?.[1] ?? 0) || null;
        // Between two workers there is none: what is loaded by then is not known, so wait for it.
        if (workers.current === null && waitedMs < RELOAD_WITHIN_MS) {
          await delay(LOOK_AGAIN_MS, signal);
          continue;
        }
        this.#known = [...(workers.current === null ? [] : [workers.current]), ...workers.old];
        return workers;
      } catch (error) {
        if (!isPassing(error)) throw error;
        const unknown = this.#known === null && error.kind === "away";
        const limitMs = unknown ? FIRST_LOOK_MS : this.#lives() ? RELOAD_WITHIN_MS : 0;
        if (waitedMs >= limitMs) {
          if (this.#lives()) throw new MasterError("failed", "HAProxy runs and its master does not answer", { cause: error });
          this.#known = [];
          return null;
        }
        await delay(LOOK_AGAIN_MS, signal);
      }
    }
  }

  /** Reloads and waits for the new worker. @throws MasterError when HAProxy keeps the old one */
  async reload(signal: AbortSignal): Promise<Workers | null> {
    const before = await this.look(signal);
    if (before === null) return null;
    // The master may begin anew before it has said so, and from 2.7 on it says what became of it, once it has read its files.
    await this.#master.command("reload", { signal, silenceMs: RELOAD_WITHIN_MS }).catch((error: unknown) => {
      if (!isPassing(error)) throw error;
    });
    for (let waitedMs = 0; waitedMs < RELOAD_WITHIN_MS; waitedMs += LOOK_AGAIN_MS) {
      const now = await this.look(signal);
      if (now === null) return null;
      if (now.failed > 0) throw new NotTakenError();
      if (now.current !== before.current) return now;
      await delay(LOOK_AGAIN_MS, signal);
    }
    throw new MasterError("failed", "HAProxy was told to reload, and neither did nor refused");
  }

  #lives(): boolean {
    return [this.#masterPid, ...(this.#known ?? [])].some((pid) => pid !== null && lives(pid, "haproxy"));
  }
}
