import type { Lane } from "../../lib/service.ts";
import type { Cut, Flow } from "../target.ts";
import type { Identity } from "./admission.ts";
import { type Connection, connectionKey, flowKey } from "./sockets.ts";

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

/**
 * Which certificate's connections are open, by what requests told. The end of a connection is not told: those that the kernel no longer
 * has are let go from time to time. A flow that was cut stays on a list, to be cut again for as long as the kernel has it.
 */
export class Flows {
  /** By the client's end: each certificate that was shown from there, since connections to another address of this host look alike. */
  readonly #open = new Map<string, Noted[]>();
  readonly #byCertificate = new Map<string, Set<string>>();
  readonly #over = new Map<string, Flow>();
  /** Open since before anything was told, by both ends: another one from the same port may be told of first. */
  readonly #unknown = new Map<string, Connection>();
  readonly #max: number;
  #clock = 0;

  constructor(max = MAX_FLOWS) {
    this.#max = max;
  }

  /** Connections of which nobody knows whose they are, until they ask again. */
  get unknown(): readonly Flow[] {
    return [...this.#unknown.values()].map(({ family, address, port }) => ({ family, address, port }));
  }

  /** Takes in what was open before the first question came. */
  begin(connections: readonly Connection[]): void {
    for (const connection of connections) this.#unknown.set(connectionKey(connection), connection);
  }

  /** Flows that were cut and may still be there. */
  get over(): readonly Flow[] {
    return [...this.#over.values()];
  }

  /**
   * @param owner null: admitted by its address alone
   * @returns false when there is no room: the connection could not be found again
   */
  note(connection: Connection, owner: Omit<Owned, "flow"> | null): boolean {
    this.#unknown.delete(connectionKey(connection));
    if (owner === null) return true;
    const { family, address, port } = connection;
    const flow: Flow = { family, address, port };
    const key = flowKey(flow);
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
    const ended = new Map(flows.map((flow) => [flowKey(flow), flow]));
    for (const [key, flow] of ended) {
      this.#forget(key);
      this.#over.set(key, flow);
    }
    for (const [key, connection] of this.#unknown) if (ended.has(flowKey(connection))) this.#unknown.delete(key);
  }

  /** Forgets what the kernel no longer has. @param look tells what it has */
  async sweep(look: () => Promise<readonly Connection[]>): Promise<void> {
    const before = this.#clock;
    const [over, unknown] = [[...this.#over.keys()], [...this.#unknown.keys()]];
    const connections = await look();
    const live = new Set(connections.map(flowKey));
    for (const [key, noted] of this.#open) if (!live.has(key) && noted.every(({ at }) => at <= before)) this.#forget(key);
    for (const key of over) if (!live.has(key)) this.#over.delete(key);
    const known = new Set(connections.map(connectionKey));
    for (const key of unknown) if (!known.has(key)) this.#unknown.delete(key);
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
