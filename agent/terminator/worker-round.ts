import { delay } from "../../lib/abort.ts";
import type { Log } from "../../lib/log.ts";
import { MasterError, type Workers } from "./master.ts";
import type { WorkerList } from "./workers.ts";

/** How long a worker that ends may still be listed. */
const ENDING_MS = 1_000;
const LOOK_AGAIN_MS = 25;

/** Work at every worker of the HAProxy that runs: at the one that takes new connections first, then at those that were replaced. */
export class WorkerRound {
  readonly #list: WorkerList;
  readonly #log: Log;
  readonly #onSeen: (workers: readonly number[]) => void;

  /** @param onSeen told which workers there are, whenever that is looked at */
  constructor(list: WorkerList, log: Log, onSeen: (workers: readonly number[]) => void) {
    this.#list = list;
    this.#log = log;
    this.#onSeen = onSeen;
  }

  async workers(signal: AbortSignal): Promise<readonly number[]> {
    return this.#all(await this.#list.look(signal));
  }

  /** @returns how many workers there were */
  async each(work: (worker: number) => Promise<void>, signal: AbortSignal): Promise<number> {
    const workers = await this.workers(signal);
    for (const worker of workers) await this.unlessEnded(worker, () => work(worker), signal);
    return workers.length;
  }

  /**
   * A worker may end at any moment: then there is nothing left to tell it, and what comes after it reads the files. One that is about to
   * end answers nothing, and is listed for a while. One that was replaced and is silent is ended: it would go on with what no longer
   * counts, and hold up what all others are to be told.
   * @param work may be done more than once, where HAProxy fails
   */
  async unlessEnded(worker: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    let sinceMs: number | null = null;
    for (let isKilled = false; ; ) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted || !(error instanceof MasterError)) throw error;
        const workers = await this.#list.look(signal);
        if (!this.#all(workers).includes(worker)) return;
        sinceMs ??= performance.now();
        const isSilent = error.kind === "silent";
        if (isSilent && !isKilled && workers?.old.includes(worker)) {
          this.#kill(worker, error);
          isKilled = true;
        } else if (isSilent || performance.now() - sinceMs >= ENDING_MS) throw error;
      }
      await delay(LOOK_AGAIN_MS, signal);
    }
  }

  /** @throws MasterError the one that is given, where that cannot be */
  #kill(worker: number, error: MasterError): void {
    try {
      process.kill(worker, "SIGKILL");
    } catch {
      throw error;
    }
    this.#log.warn({ worker, err: error }, "A replaced HAProxy worker answers nothing and is killed: what was under way there ends");
  }

  #all(workers: Workers | null): readonly number[] {
    const all = workers === null ? [] : [...(workers.current === null ? [] : [workers.current]), ...workers.old];
    this.#onSeen(all);
    return all;
  }
}
