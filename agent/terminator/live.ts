import type { Log } from "../../lib/log.ts";
import type { Cut } from "../target.ts";
import type { Ended, TrustChanges } from "./desired-trust.ts";
import { CutFailures, Endings, type IsBound, type Over } from "./endings.ts";
import type { EndsDue } from "./ends-due.ts";
import { bindingId, connectionNumber, goneEntry, type MapEntry } from "./entries.ts";
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
  readonly isBound: IsBound;
}

type Round = (work: (worker: number) => Promise<void>, signal: AbortSignal) => Promise<void>;

/** What is to be told to whom, and what of it is over then. */
interface Settling {
  readonly round: Round;
  readonly tell: (worker: number) => Promise<Over>;
  readonly isBound: IsBound;
  /** Something is over, as is known before. */
  readonly ends?: boolean;
}

/** The HAProxy that runs, if one does: its workers' memory, and the connections that they hold. */
export class Live {
  readonly #options: LiveOptions;
  readonly #list: WorkerList;
  readonly #maps: WorkerMaps;
  readonly #round: WorkerRound;
  readonly #endings: Endings;
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
    this.#endings = new Endings({ master: this.#list.master, cut: options.cut, log: options.log });
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
      await this.#catchUpOld(workers, whole, signal);
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

  /** Tells every worker of changes, then ends the connections of what no longer counts. @throws MasterError, and what the cut throws */
  async change(
    changes: TrustChanges,
    ended: readonly Ended[],
    tellBindings: boolean,
    isBound: IsBound,
    signal: AbortSignal,
  ): Promise<void> {
    const over = [...changes.gone, ...changes.altered.map(({ fingerprint }) => fingerprint)];
    const tell = async (worker: number): Promise<Over> => {
      const layout = await this.#maps.layout(worker, signal);
      await this.#maps.add(worker, layout.gone, changes.gone.map(goneEntry), signal);
      await this.#maps.add(worker, layout.certificates, changes.registered, signal);
      for (const { entry } of changes.altered) await this.#maps.set(worker, layout.certificates, entry, signal);
      for (const { key, entry } of tellBindings ? changes.bindings : []) {
        if (entry === null) await this.#maps.remove(worker, layout.bindings, key, signal);
        else await this.#maps.set(worker, layout.bindings, entry, signal);
      }
      return { numbers: over.map(connectionNumber), ended };
    };
    await this.#settle({ round: this.#everybody, tell, isBound, ends: over.length + ended.length > 0 }, signal);
  }

  /** A list small enough for HAProxy's command line, to the workers of this generation; for others the maps decide. */
  async setCrl(layout: Layout, text: string, signal: AbortSignal): Promise<void> {
    await this.#everybody(async (worker) => {
      if ((await this.#maps.layout(worker, signal)).folder !== layout.folder) return;
      const file = layout.revocations;
      const opened = await this.#list.master.command(`set ssl crl-file ${file}`, { signal, worker }, text.trimEnd().split("\n"));
      if (!opened.includes("transaction")) throw new MasterError("failed", `HAProxy did not take a CRL: ${opened.trim().slice(0, 200)}`);
      const committed = await this.#list.master.command(`commit ssl crl-file ${file}`, { signal, worker });
      if (!committed.includes("Success")) throw new MasterError("failed", `HAProxy did not take a CRL: ${committed.trim().slice(-200)}`);
    }, signal);
  }

  /**
   * Has HAProxy read its files anew. Workers that are replaced let requests end, but none of what no longer counts in the whole state.
   * @param whole null when it is the state that they know already, of the generation that they know
   * @throws MasterError
   */
  async reload(whole: Whole | null, signal: AbortSignal, onTaken: () => void = () => {}): Promise<void> {
    if (!(await this.#reload(whole, signal, onTaken))) this.#missed = whole === null ? "lines" : "generation";
  }

  /**
   * Takes from the workers that run what the whole state does not hold, where that can be given to them in no other way.
   * @param name of that state: of one that they were shown already there is nothing to take. Null where it has none
   * @param onGone told the keys of certificates that do not count and that a worker began with, whether all of it could be ended or not
   * @throws MasterError, and what the cut throws
   */
  async takeBack(whole: Whole, name: string | null, onGone: (keys: ReadonlySet<string>) => void, signal: AbortSignal): Promise<void> {
    const taken = name === null ? null : `${name} ${(await this.#round.workers(signal)).join(" ")}`;
    if (taken !== null && taken === this.#taken && !this.#options.ends.due) return;
    await this.#catchUpAll(whole, signal, onGone);
    this.#taken = taken;
  }

  /** Another state may go by the same name from now on. */
  forget(): void {
    this.#taken = null;
  }

  /** Ends what goes on by certificates that ran out by a time in whole seconds, and by these bindings. @throws as {@link takeBack} */
  async endOver(by: number, ended: readonly Ended[], isBound: IsBound, signal: AbortSignal): Promise<void> {
    const failures = new CutFailures();
    await this.#round.each(async (worker) => {
      // One that serves another configuration is told by a resync.
      await this.#maps.layout(worker, signal);
      await failures.keep(this.#endings.by(worker, by, ended, isBound, signal));
    }, signal);
    failures.throw();
  }

  /** @returns false when there is none */
  async #reload(whole: Whole | null, signal: AbortSignal, onTaken: () => void = () => {}): Promise<boolean> {
    const workers = await this.#list.reload(signal);
    if (workers !== null) onTaken();
    if (workers === null || whole === null) return workers !== null;
    await this.#catchUpOld(workers, whole, signal);
    this.#missed = null;
    return true;
  }

  /**
   * Tells workers one by one, and ends what is over at each as soon as it is told. What ends is due from before anything is told until all
   * of it is cut, at one worker at least: with none there may be some that nobody sees, as in a long reload. Whose connections are due
   * already nobody knows, since what was told is no difference any more: then all end, and who still counts comes back.
   */
  async #settle({ round, tell, isBound, ends = false }: Settling, signal: AbortSignal): Promise<void> {
    const { due } = this.#options.ends;
    if (ends) this.#options.ends.set(true);
    let reached = 0;
    const failures = new CutFailures();
    const work = async (worker: number) => {
      const over = await tell(worker);
      await failures.keep(this.#endings.of(worker, over, isBound, signal));
      reached++;
    };
    await round(work, signal);
    if (due) await this.#round.each((worker) => failures.keep(this.#endings.all(worker, signal)), signal);
    failures.throw();
    if (reached > 0) this.#options.ends.set(false);
  }

  async #catchUpOld({ old }: Workers, whole: Whole, signal: AbortSignal): Promise<void> {
    const round: Round = async (work) => {
      for (const worker of old) await this.#round.unlessEnded(worker, () => work(worker), signal);
    };
    const tell = async (worker: number) => (await this.#catchUp(worker, whole, signal)).over;
    await this.#settle({ round, tell, isBound: whole.isBound }, signal);
    // There is one that has read its files: nothing else can be due.
    this.#options.ends.set(false);
  }

  /** @param onGone as above */
  async #catchUpAll(whole: Whole, signal: AbortSignal, onGone: (keys: ReadonlySet<string>) => void = () => {}): Promise<void> {
    const gone = new Set<string>();
    const tell = async (worker: number): Promise<Over> => {
      const { keys, over } = await this.#catchUp(worker, whole, signal);
      for (const key of keys) gone.add(key);
      return over;
    };
    try {
      await this.#settle({ round: this.#everybody, tell, isBound: whole.isBound }, signal);
    } finally {
      onGone(gone);
    }
  }

  /** @returns what is over, and the keys of the certificates that it had and that do not count */
  async #catchUp(worker: number, whole: Whole, signal: AbortSignal): Promise<{ readonly keys: readonly string[]; readonly over: Over }> {
    const layout = await this.#maps.layout(worker, signal);
    const certificates = await this.#maps.entries(worker, layout.certificates, signal);
    const altered = takeDiffering(certificates, whole.certificates());
    const gone = [...certificates.keys()];
    const known = await this.#maps.entries(worker, layout.gone, signal);
    const untold = gone.filter((key) => !known.has(key)).map(goneEntry);
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
    const numbers = [...gone, ...altered.map(({ key }) => key)].map(connectionNumber);
    return { keys: gone, over: { numbers, ended } };
  }

  /** As {@link WorkerRound.each}, what the files say already: who is not there yet may have read them before. */
  readonly #everybody: Round = async (work, signal) => {
    if ((await this.#round.each(work, signal)) === 0) this.#missed = "lines";
  };
}

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
