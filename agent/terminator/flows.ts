import type { Cut, Flow } from "../target.ts";
import type { Identity } from "./admission.ts";

/** Connections that are kept track of; at the bound nobody new is let in by a certificate. */
const MAX_FLOWS = 200_000;

/** Whose an open connection is. */
export interface Owned extends Pick<Identity, "fingerprint" | "device" | "pattern"> {
  readonly flow: Flow;
}

interface Noted extends Owned {
  readonly at: number;
}

export const flowKey = ({ address, port }: Pick<Flow, "address" | "port">): string => `${address} ${port}`;

/**
 * Which certificate's connections are open, by what requests told. The end of a connection is not told: those that the kernel no longer
 * has are let go from time to time. A flow that was cut stays on a list, to be cut again for as long as the kernel has it.
 */
export class Flows {
  readonly #open = new Map<string, Noted>();
  readonly #byCertificate = new Map<string, Set<string>>();
  readonly #over = new Map<string, Flow>();
  /** Open since before anything was told. */
  readonly #unknown = new Map<string, Flow>();
  readonly #max: number;
  #clock = 0;

  constructor(max = MAX_FLOWS) {
    this.#max = max;
  }

  /** Connections of which nobody knows whose they are, until they ask again. */
  get unknown(): readonly Flow[] {
    return [...this.#unknown.values()];
  }

  /** Takes in what was open before the first question came. */
  begin(flows: readonly Flow[]): void {
    for (const flow of flows) this.#unknown.set(flowKey(flow), flow);
  }

  /** Flows that were cut and may still be there. */
  get over(): readonly Flow[] {
    return [...this.#over.values()];
  }

  /**
   * @param identity null: admitted by its address alone
   * @returns false when there is no room: the connection could not be found again
   */
  note(flow: Flow, identity: Identity | null): boolean {
    const key = flowKey(flow);
    this.#unknown.delete(key);
    if (identity === null) {
      this.#forget(key);
      return true;
    }
    const { fingerprint, device, pattern } = identity;
    const known = this.#open.get(key);
    if (known?.fingerprint !== fingerprint) this.#forget(key);
    if (!this.#open.has(key) && this.#open.size >= this.#max) return false;
    this.#open.set(key, { flow, fingerprint, device, pattern, at: ++this.#clock });
    const own = this.#byCertificate.get(fingerprint) ?? new Set();
    this.#byCertificate.set(fingerprint, own.add(key));
    return true;
  }

  /** Connections of a certificate. */
  of(fingerprint: string): Owned[] {
    return [...(this.#byCertificate.get(fingerprint) ?? [])].flatMap((key) => this.#open.get(key) ?? []);
  }

  all(): readonly Owned[] {
    return [...this.#open.values()];
  }

  /** Ends connections at the firewall. They are forgotten only when that is done. */
  async end(flows: readonly Flow[], cut: Cut, signal: AbortSignal): Promise<void> {
    if (flows.length === 0) return;
    await cut(flows, signal);
    for (const flow of flows) {
      this.#forget(flowKey(flow));
      this.#unknown.delete(flowKey(flow));
      this.#over.set(flowKey(flow), flow);
    }
  }

  /** Forgets what the kernel no longer has. @param look tells the keys of what it has */
  async sweep(look: () => Promise<ReadonlySet<string>>): Promise<void> {
    const before = this.#clock;
    const others = [this.#over, this.#unknown].map((flows) => ({ flows, keys: [...flows.keys()] }));
    const live = await look();
    for (const [key, { at }] of this.#open) if (at <= before && !live.has(key)) this.#forget(key);
    for (const { flows, keys } of others) for (const key of keys) if (!live.has(key)) flows.delete(key);
  }

  #forget(key: string): void {
    const known = this.#open.get(key);
    if (known === undefined) return;
    this.#open.delete(key);
    const own = this.#byCertificate.get(known.fingerprint);
    own?.delete(key);
    if (own?.size === 0) this.#byCertificate.delete(known.fingerprint);
  }
}
