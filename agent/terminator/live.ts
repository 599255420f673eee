import type { Log } from "../../lib/log.ts";
import type { Cut, Flow } from "../target.ts";
import { openConnections, overConnections, shutConnections, type Tracked } from "./connections.ts";
import type { Ended, TrustChanges } from "./desired-trust.ts";
import type { EndsDue } from "./ends-due.ts";
import { bindingId, certificateKey, connectionNumber, holds, type MapEntry } from "./entries.ts";
import type { Layout } from "./layout.ts";
import { MasterError, type Workers } from "./master.ts";
import { WorkerMaps } from "./worker-maps.ts";
import { WorkerRound } from "./worker-round.ts";
import { WorkerList } from "./workers.ts";

/** Bindings that a worker is told one by one in any case. Of more it gets the whole map, where that takes fewer commands. */
const MAX_SINGLY = 100;
/** Bindings that go into one command, about. */
const IN_ONE_COMMAND = 80;

export interface LiveOptions {
  readonly socketPath: string;
  /** Where the generations are. */
  readonly folder: string;
  readonly cut: Cut;
  readonly ends: EndsDue;
  readonly log: Log;
}

/** What the whole state holds, for workers that began with another one. */
export interface Whole {
  readonly certificates: () => Iterable<MapEntry>;
  readonly bindings: () => Iterable<MapEntry>;
  readonly withNumbers: (binding: string) => Ended;
}

/** The HAProxy that runs, if one does: its workers' memory, and the connections that they hold. */
export class Live {
  readonly #options: LiveOptions;
  readonly #list: WorkerList;
  readonly #maps: WorkerMaps;
  readonly #round: WorkerRound;
  /**
   * What was to be told when no HAProxy was found: one that was starting may have read its files before. A worker tells which generation
   * it has read, and not how many of the lines that were added to it.
   */
  #missed: "generation" | "lines" | null = null;
  /** Which state was last taken back from which workers. */
  #taken: string | null = null;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#list = new WorkerList(options.socketPath);
    this.#maps = new WorkerMaps(this.#list.master, options.folder);
    this.#round = new WorkerRound(this.#list, options.log, (workers) => this.#maps.keep(workers));
  }

  /** True while an HAProxy that comes up may not know what its files say: {@link meet}. */
  get missed(): boolean {
    return this.#missed !== null;
  }

  /**
   * Makes sure that an HAProxy that was told nothing, since it was about to start, has read what its files say by now.
   * @param folder of the generation that the link names
   * @returns false while none is found
   * @throws MasterError
   */
  async meet(folder: string, whole: Whole, signal: AbortSignal): Promise<boolean> {
    if (this.#missed === null) return true;
    const workers = await this.#list.look(signal);
    const current = workers?.current ?? null;
    if (workers === null || current === null) return false;
    const hasRead = this.#missed === "generation" && (await this.#maps.layout(current, signal)).folder === folder;
    if (hasRead) {
      await this.#settle(() => this.#catchUpOld(workers, whole, signal), signal);
      this.#missed = null;
      return true;
    }
    try {
      // A reload may be refused for long.
      await this.#catchUpAll(whole, signal);
    } finally {
      await this.#reload(whole, signal);
    }
    return !this.missed;
  }

  /** Tells every worker of changes, then ends the connections of what no longer counts. @throws MasterError */
  async change(changes: TrustChanges, ended: readonly Ended[], tellBindings: boolean, signal: AbortSignal): Promise<void> {
    const over = [...changes.gone, ...changes.altered.map(({ fingerprint }) => fingerprint)];
    const work = async (worker: number) => {
      const layout = await this.#maps.layout(worker, signal);
      await this.#maps.add(worker, layout.gone, changes.gone.map(goneEntry), signal);
      await this.#maps.add(worker, layout.certificates, changes.registered, signal);
      for (const { entry } of changes.altered) await this.#maps.set(worker, layout.certificates, entry, signal);
      for (const { key, entry } of tellBindings ? changes.bindings : []) {
        if (entry === null) await this.#maps.remove(worker, layout.bindings, key, signal);
        else await this.#maps.set(worker, layout.bindings, entry, signal);
      }
      await this.#end(worker, over.map(connectionNumber), ended, signal);
    };
    await this.#settle(async () => {
      if (over.length + ended.length > 0) this.#options.ends.set(true);
      await this.#tell(signal, work);
    }, signal);
  }

  /** A list small enough for HAProxy's command line, to the workers of this generation; for others the maps decide. */
  async setCrl(layout: Layout, text: string, signal: AbortSignal): Promise<void> {
    await this.#tell(signal, async (worker) => {
      if ((await this.#maps.layout(worker, signal)).folder !== layout.folder) return;
      const file = layout.revocations;
      const opened = await this.#list.master.command(`set ssl crl-file ${file}`, { signal, worker }, text.trimEnd().split("\n"));
      if (!opened.includes("transaction")) throw new MasterError("failed", `HAProxy did not take a CRL: ${opened.trim().slice(0, 200)}`);
      const committed = await this.#list.master.command(`commit ssl crl-file ${file}`, { signal, worker });
      if (!committed.includes("Success")) throw new MasterError("failed", `HAProxy did not take a CRL: ${committed.trim().slice(-200)}`);
    });
  }

  /**
   * Has HAProxy read its files anew. Workers that are replaced let requests end, but none of what no longer counts in the whole state.
   * @param whole null when it is the state that they know already, of the generation that they know
   * @throws MasterError
   */
  async reload(whole: Whole | null, signal: AbortSignal): Promise<void> {
    if (!(await this.#reload(whole, signal))) this.#missed = whole === null ? "lines" : "generation";
  }

  /**
   * Takes from the workers that run what the whole state does not hold, where that can be given to them in no other way.
   * @param name of that state: of one that they were shown already there is nothing to take. Null where it has none
   * @returns keys of the certificates that do not count and that a worker began with; null where nothing was to be done
   * @throws MasterError
   */
  async takeBack(whole: Whole, name: string | null, signal: AbortSignal): Promise<ReadonlySet<string> | null> {
    const taken = name === null ? null : `${name} ${(await this.#round.workers(signal)).join(" ")}`;
    if (taken !== null && taken === this.#taken && !this.#options.ends.due) return null;
    const gone = await this.#catchUpAll(whole, signal);
    this.#taken = taken;
    return gone;
  }

  /** Ends what goes on by certificates that ran out by a time in whole seconds, and by these bindings. @throws MasterError */
  async endOver(by: number, ended: readonly Ended[], signal: AbortSignal): Promise<void> {
    await this.#round.each(async (worker) => {
      // One that serves another configuration is told by a resync.
      await this.#maps.layout(worker, signal);
      const over = await overConnections(this.#list.master, worker, by, signal);
      await this.#endFlows(worker, [...over, ...(await this.#flowsOf(worker, [], ended, signal))], signal);
    }, signal);
  }

  /** @returns false when there is none */
  async #reload(whole: Whole | null, signal: AbortSignal): Promise<boolean> {
    const workers = await this.#list.reload(signal);
    if (workers === null || whole === null) return workers !== null;
    await this.#settle(() => this.#catchUpOld(workers, whole, signal), signal);
    this.#missed = null;
    return true;
  }

  /**
   * What ends is due from before it is told until all of it is cut. Whose connections are due already nobody knows, since what was told is
   * no difference any more: then all end, and who still counts comes back.
   */
  async #settle(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { ends } = this.#options;
    const { due } = ends;
    await work();
    if (due) await this.#round.each((worker) => this.#endAll(worker, signal), signal);
    ends.set(false);
  }

  async #catchUpOld({ old }: Workers, whole: Whole, signal: AbortSignal): Promise<void> {
    for (const worker of old) await this.#round.unlessEnded(worker, async () => void (await this.#catchUp(worker, whole, signal)), signal);
  }

  /** @returns keys of the certificates that workers had and that do not count */
  async #catchUpAll(whole: Whole, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const gone = new Set<string>();
    const work = async (worker: number) => {
      for (const key of await this.#catchUp(worker, whole, signal)) gone.add(key);
    };
    await this.#settle(() => this.#tell(signal, work), signal);
    return gone;
  }

  /** @returns keys of the certificates that it had and that do not count */
  async #catchUp(worker: number, whole: Whole, signal: AbortSignal): Promise<readonly string[]> {
    const layout = await this.#maps.layout(worker, signal);
    const certificates = await this.#maps.entries(worker, layout.certificates, signal);
    const altered = takeDiffering(certificates, whole.certificates());
    const gone = [...certificates.keys()];
    const known = await this.#maps.entries(worker, layout.gone, signal);
    const untold = gone.filter((key) => !known.has(key)).map((key) => goneEntry(key));
    const bindings = await this.#maps.entries(worker, layout.bindings, signal);
    const mostSingly = Math.max(MAX_SINGLY, bindings.size / IN_ONE_COMMAND);
    const alteredBindings = takeDiffering(bindings, whole.bindings());
    if (untold.length + altered.length + bindings.size > 0) this.#options.ends.set(true);
    await this.#maps.add(worker, layout.gone, untold, signal);
    for (const entry of altered) await this.#maps.set(worker, layout.certificates, entry, signal);
    if (alteredBindings.length + bindings.size > mostSingly) {
      await this.#maps.replace(worker, layout.bindings, whole.bindings(), signal);
    } else {
      for (const entry of alteredBindings) await this.#maps.set(worker, layout.bindings, entry, signal);
      for (const key of bindings.keys()) await this.#maps.remove(worker, layout.bindings, key, signal);
    }
    const ended = [...bindings.keys()].map((key) => whole.withNumbers(bindingId(key)));
    await this.#end(worker, [...gone, ...altered.map(({ key }) => key)].map(connectionNumber), ended, signal);
    return gone;
  }

  /** As {@link WorkerRound.each}, what the files say already: who is not there yet may have read them before. */
  async #tell(signal: AbortSignal, work: (worker: number) => Promise<void>): Promise<void> {
    if ((await this.#round.each(work, signal)) === 0) this.#missed = "lines";
  }

  async #endAll(worker: number, signal: AbortSignal): Promise<void> {
    await this.#endFlows(worker, await overConnections(this.#list.master, worker, Number.POSITIVE_INFINITY, signal), signal);
  }

  /** What goes on by certificates of these numbers, and what does from the prefixes of bindings that ended. */
  async #end(worker: number, numbers: readonly number[], ended: readonly Ended[], signal: AbortSignal): Promise<void> {
    await this.#endFlows(worker, await this.#flowsOf(worker, numbers, ended, signal), signal);
  }

  async #flowsOf(worker: number, numbers: readonly number[], ended: readonly Ended[], signal: AbortSignal): Promise<Flow[]> {
    const over = new Set(numbers);
    const bindings = new Map<number, string[]>();
    for (const { id, numbers: own } of ended) for (const number of own) bindings.set(number, [...(bindings.get(number) ?? []), id]);
    const open = await openConnections(this.#list.master, worker, new Set([...over, ...bindings.keys()]), signal);
    const isOver = ({ flow: { family, address }, number }: Tracked): boolean =>
      over.has(number) || (bindings.get(number) ?? []).some((id) => holds(id, family, address));
    return open.filter(isOver).map(({ flow }) => flow);
  }

  /** First at the firewall, so that not even the news of it gets out, then at the worker. */
  async #endFlows(worker: number, flows: readonly Flow[], signal: AbortSignal): Promise<void> {
    if (flows.length === 0) return;
    await this.#options.cut(flows, signal);
    await shutConnections(this.#list.master, worker, flows, signal);
    this.#options.log.info({ connections: flows.length }, "Connections of what no longer counts are cut");
  }
}

const goneEntry = (fingerprint: string): MapEntry => ({ key: certificateKey(fingerprint), value: "1" });

/** Takes out of `known` all that `wanted` says too. What stays is no longer wanted. @returns what `wanted` says otherwise */
function takeDiffering(known: Map<string, string>, wanted: Iterable<MapEntry>): MapEntry[] {
  const differing: MapEntry[] = [];
  for (const entry of wanted) {
    const value = known.get(entry.key);
    if (value !== undefined && value !== entry.value) differing.push(entry);
    known.delete(entry.key);
  }
  return differing;
}
