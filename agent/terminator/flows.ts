import type { Lane } from "../../lib/service.ts";
import type { Cut, Flow } from "../target.ts";
import type { Identity } from "./admission.ts";

/** Connections that are kept track of; at the bound nobody new is let in by a certificate. */
const MAX_FLOWS = 200_000;

/**
 * Certificates that connections with one client's end may show at a time: to several addresses of this host there may be several of them.
 * One more is not let in.
 */
const MAX_SHARING = 8;

/** Whose an open connection is. */
export interface Owned extends Pick<Identity, "fingerprint" | "device" | "pattern"> {
  readonly flow: Flow;
  readonly lane: Lane;
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
  /** By the client's end: each certificate that was shown from there, since connections to another address of this host look alike. */
  readonly #open = new Map<string, Noted[]>();
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
   * @param owner null: admitted by its address alone
   * @returns false when there is no room: the connection could not be found again
   */
  note(flow: Flow, owner: Omit<Owned, "flow"> | null): boolean {
    const key = flowKey(flow);
    this.#unknown.delete(key);
    if (owner === null) return true;
    const { lane, fingerprint, device, pattern } = owner;
    const others = (this.#open.get(key) ?? []).filter((noted) => noted.fingerprint !== fingerprint);
    const isFull = others.length === 0 ? !this.#open.has(key) && this.#open.size >= this.#max : others.length >= MAX_SHARING;
    if (isFull) return false;
    this.#open.set(key, [...others, { flow, lane, fingerprint, device, pattern, at: ++this.#clock }]);
    const own = this.#byCertificate.get(fingerprint) ?? new Set();
    this.#byCertificate.set(fingerprint, own.add(key));
    return true;
  }

  /** Connections of a certificate. */
  of(fingerprint: string): Owned[] {
    const all = [...(this.#byCertificate.get(fingerprint) ?? [])].flatMap((key) => this.#open.get(key) ?? []);
    return all.filter((noted) => noted.fingerprint === fingerprint);
  }

  all(): readonly Owned[] {
    return [...this.#open.values()].flat();
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
    for (const [key, noted] of this.#open) if (!live.has(key) && noted.every(({ at }) => at <= before)) this.#forget(key);
    for (const { flows, keys } of others) for (const key of keys) if (!live.has(key)) flows.delete(key);
  }

  #forget(key: string): void {
    for (const { fingerprint } of this.#open.get(key) ?? []) {
      const own = this.#byCertificate.get(fingerprint);
      own?.delete(key);
      if (own?.size === 0) this.#byCertificate.delete(fingerprint);
    }
    this.#open.delete(key);
  }
}
