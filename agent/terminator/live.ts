import { delay } from "../../lib/abort.ts";
import type { Log } from "../../lib/log.ts";
import type { Cut, Flow } from "../target.ts";
import { openConnections, shutConnections } from "./connections.ts";
import type { TrustChanges } from "./desired-trust.ts";
import { certificateKey, connectionNumber, holds, type MapEntry } from "./entries.ts";
import type { Layout } from "./layout.ts";
import { MasterError, type Workers } from "./master.ts";
import { WorkerMaps } from "./worker-maps.ts";
import { WorkerList } from "./workers.ts";

/** How long a worker that ends may still be listed. */
const ENDING_MS = 1_000;
const LOOK_AGAIN_MS = 25;

export interface LiveOptions {
  readonly socketPath: string;
  /** Where the generations are. */
  readonly folder: string;
  readonly cut: Cut;
  readonly log: Log;
}

/** A binding that ended, with the numbers of its device's connections. */
export interface Ended {
  readonly id: string;
  readonly numbers: readonly number[];
}

/** What the whole state holds, for workers that began with another one. */
export interface Whole {
  readonly certificates: () => Iterable<MapEntry>;
  readonly bindings: () => Iterable<MapEntry>;
}

/** The HAProxy that runs, if one does: its workers' memory, and the connections that they hold. */
export class Live {
  readonly #options: LiveOptions;
  readonly #list: WorkerList;
  readonly #maps: WorkerMaps;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#list = new WorkerList(options.socketPath);
    this.#maps = new WorkerMaps(this.#list.master, options.folder);
  }

  /** Tells every worker of changes, then ends the connections of what no longer counts. @throws MasterError */
  async change(changes: TrustChanges, ended: readonly Ended[], tellBindings: boolean, signal: AbortSignal): Promise<void> {
    await this.#each(signal, async (worker) => {
      const layout = await this.#maps.layout(worker, signal);
      await this.#maps.add(worker, layout.gone, changes.gone.map(goneEntry), signal);
      await this.#maps.add(worker, layout.certificates, changes.registered, signal);
      for (const { entry } of changes.altered) await this.#maps.set(worker, layout.certificates, entry, signal);
      for (const { key, entry } of tellBindings ? changes.bindings : []) {
        if (entry === null) await this.#maps.remove(worker, layout.bindings, key, signal);
        else await this.#maps.set(worker, layout.bindings, entry, signal);
      }
      const over = [...changes.gone, ...changes.altered.map(({ fingerprint }) => fingerprint)];
      await this.#end(worker, over.map(connectionNumber), ended, signal);
    });
  }

  /** A list small enough for HAProxy's command line, to the workers of this generation; for others the maps decide. */
  async setCrl(layout: Layout, text: string, signal: AbortSignal): Promise<void> {
    await this.#each(signal, async (worker) => {
      if ((await this.#maps.layout(worker, signal)).folder !== layout.folder) return;
      const file = layout.revocations;
      const opened = await this.#list.master.command(`set ssl crl-file ${file}`, { signal, worker }, text.trimEnd().split("\n"));
      if (!opened.includes("transaction")) throw new MasterError("failed", `HAProxy did not take a CRL: ${opened.trim().slice(0, 200)}`);
      const committed = await this.#list.master.command(`commit ssl crl-file ${file}`, { signal, worker });
      if (!committed.includes("Success")) throw new MasterError("failed", `HAProxy did not take a CRL: ${committed.trim().slice(-200)}`);
    });
  }

  /**
   * Reloads. Workers that are replaced let requests end, but none of what no longer counts in the whole state.
   * @param whole null when it is the state that they know already
   */
  async reload(whole: Whole | null, signal: AbortSignal): Promise<void> {
    const workers = await this.#list.reload(signal);
    if (workers === null || whole === null || workers.old.length === 0) return;
    const certificates = new Set([...whole.certificates()].map(({ key }) => key));
    const bindings = new Set([...whole.bindings()].map(({ key }) => key));
    for (const worker of workers.old) {
      await this.#unlessEnded(worker, () => this.#catchUp(worker, certificates, bindings, signal), signal);
    }
  }

  async #catchUp(worker: number, certificates: ReadonlySet<string>, bindings: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const layout = await this.#maps.layout(worker, signal);
    const gone = (await this.#maps.keys(worker, layout.certificates, signal)).filter((key) => !certificates.has(key));
    await this.#maps.add(worker, layout.gone, gone.map(goneEntry), signal);
    for (const key of await this.#maps.keys(worker, layout.bindings, signal)) {
      if (!bindings.has(key)) await this.#maps.remove(worker, layout.bindings, key, signal);
    }
    await this.#end(worker, gone.map(connectionNumber), [], signal);
  }

  async #each(signal: AbortSignal, work: (worker: number) => Promise<void>): Promise<void> {
    for (const worker of await this.#workers(signal)) await this.#unlessEnded(worker, () => work(worker), signal);
  }

  /**
   * A worker may end at any moment: then there is nothing left to tell it, and what comes after it reads the files. One that is about to
   * end answers nothing, and is listed for a while. @param work may be done more than once
   */
  async #unlessEnded(worker: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += LOOK_AGAIN_MS) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted) throw error;
        if (!(await this.#workers(signal)).includes(worker)) return;
        if (waitedMs >= ENDING_MS) throw error;
      }
      await delay(LOOK_AGAIN_MS, signal);
    }
  }

  /** First at the firewall, so that not even the news of it gets out, then at the worker. */
  async #end(worker: number, numbers: readonly number[], ended: readonly Ended[], signal: AbortSignal): Promise<void> {
    const whole = await openConnections(this.#list.master, worker, new Set(numbers), signal);
    const flows: Flow[] = whole.map(({ flow }) => flow);
    for (const { id, numbers: own } of ended) {
      const open = await openConnections(this.#list.master, worker, new Set(own), signal);
      flows.push(...open.map(({ flow }) => flow).filter(({ family, address }) => holds(id, family, address)));
    }
    if (flows.length === 0) return;
    await this.#options.cut(flows, signal);
    await shutConnections(this.#list.master, worker, flows, signal);
    this.#options.log.info({ connections: flows.length }, "Connections of what was revoked are cut");
  }

  async #workers(signal: AbortSignal): Promise<readonly number[]> {
    const workers: Workers | null = await this.#list.look(signal);
    const all = workers === null ? [] : [...(workers.current === null ? [] : [workers.current]), ...workers.old];
    this.#maps.keep(all);
    return all;
  }
}

const goneEntry = (fingerprint: string): MapEntry => ({ key: certificateKey(fingerprint), value: "1" });
