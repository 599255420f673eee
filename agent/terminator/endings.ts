import type { Log } from "../../lib/log.ts";
import type { Cut, Flow } from "../target.ts";
import { readBindingId } from "../trust-bodies.ts";
import { openConnections, overConnections, shutConnections, type Tracked } from "./connections.ts";
import type { Ended } from "./desired-trust.ts";
import { holds } from "./entries.ts";
import { type Master, MasterError } from "./master.ts";
import { flowKey } from "./sockets.ts";

/** What is not cut by then is not cut any more: as long as a cut lasts. */
const UNCUT_MS = 120_000;

/** What no longer counts. */
export interface Over {
  /** Numbers of certificates' connections. */
  readonly numbers: readonly number[];
  readonly ended: readonly Ended[];
}

/** True when a device holds a prefix that the address is in, still. */
export type IsBound = (device: string, family: 4 | 6, address: string) => boolean;

export interface EndingsOptions {
  readonly master: Master;
  readonly cut: Cut;
  readonly log: Log;
}

/** Ends what goes on at a worker of HAProxy's. */
export class Endings {
  readonly #options: EndingsOptions;
  readonly #uncut = new Uncut();

  constructor(options: EndingsOptions) {
    this.#options = options;
  }

  /** All connections with a certificate. @throws MasterError, and what the cut throws */
  async all(worker: number, signal: AbortSignal): Promise<void> {
    await this.#end(worker, await overConnections(this.#options.master, worker, Number.POSITIVE_INFINITY, signal), signal);
  }

  /** Those of what is over. @throws as above */
  async of(worker: number, over: Over, isBound: IsBound, signal: AbortSignal): Promise<void> {
    await this.#end(worker, await this.#flowsOf(worker, over, isBound, signal), signal);
  }

  /** Those by certificates that ran out by a time in whole seconds, and by these bindings. @throws as above */
  async by(worker: number, time: number, ended: readonly Ended[], isBound: IsBound, signal: AbortSignal): Promise<void> {
    const over = await overConnections(this.#options.master, worker, time, signal);
    await this.#end(worker, [...over, ...(await this.#flowsOf(worker, { numbers: [], ended }, isBound, signal))], signal);
  }

  async #flowsOf(worker: number, { numbers, ended }: Over, isBound: IsBound, signal: AbortSignal): Promise<Flow[]> {
    const over = new Set(numbers);
    const bindings = new Map<number, string[]>();
    for (const { id, numbers: own } of ended) for (const number of own) bindings.set(number, [...(bindings.get(number) ?? []), id]);
    const open = await openConnections(this.#options.master, worker, new Set([...over, ...bindings.keys()]), signal);
    const isOver = ({ flow: { family, address }, number }: Tracked): boolean =>
      over.has(number) ||
      (bindings.get(number) ?? []).some((id) => holds(id, family, address) && !isBound(readBindingId(id).device, family, address));
    return open.filter(isOver).map(({ flow }) => flow);
  }

  /** First at the firewall, so that not even the news of it gets out; where that fails, at the worker all the same. */
  async #end(worker: number, flows: readonly Flow[], signal: AbortSignal): Promise<void> {
    const all = this.#uncut.with(flows);
    if (all.length === 0) return;
    const { master, cut, log } = this.#options;
    try {
      await cut(all, signal);
      this.#uncut.clear();
    } finally {
      await shutConnections(master, worker, flows, signal);
    }
    log.info({ connections: all.length }, "Connections of what no longer counts are cut");
  }
}

/** Of what the firewall did not cut a worker that has ended it knows nothing any more. */
class Uncut {
  readonly #flows = new Map<string, { readonly flow: Flow; readonly atMs: number }>();

  /** All of it, and these, each once. After a while nothing of a connection is under way, and its port is somebody else's. */
  with(flows: readonly Flow[]): readonly Flow[] {
    const atMs = performance.now();
    for (const [key, known] of this.#flows) if (atMs - known.atMs > UNCUT_MS) this.#flows.delete(key);
    for (const flow of flows) {
      if (!this.#flows.has(flowKey(flow))) this.#flows.set(flowKey(flow), { flow, atMs });
    }
    return [...this.#flows.values()].map(({ flow }) => flow);
  }

  clear(): void {
    this.#flows.clear();
  }
}

/** A firewall that does not cut keeps no worker from being told, and none from its own end. */
export class CutFailures {
  #first: { readonly error: unknown } | null = null;

  /** @throws MasterError, of which whoever asks the workers knows more */
  async keep(ending: Promise<void>): Promise<void> {
    try {
      await ending;
    } catch (error) {
      if (error instanceof MasterError) throw error;
      this.#first ??= { error };
    }
  }

  /** @throws the first that was kept */
  throw(): void {
    if (this.#first !== null) throw this.#first.error;
  }
}
