import type { Log } from "../../lib/log.ts";
import { recordAcks } from "../store/queries.ts";
import type { Store } from "../store/store.ts";
import type { AgentFact } from "./peer.ts";

/** Acknowledgements are written to Storage together, at most this often. */
const WRITE_MS = 100;
const RETRY_MS = 1_000;
/** An agent whose revision stays is noted as seen this often, not at each heartbeat. */
const SEEN_MS = 30_000;

type Noted = Pick<AgentFact, "name" | "revision" | "seenAt">;

/** Brings acknowledgements to Storage: the latest of each agent, written together; what could not be written is tried again. */
export class AckWriter implements AsyncDisposable {
  readonly #store: Store;
  readonly #log: Log;
  readonly #written = new Map<string, Noted>();
  readonly #latest = new Map<string, Noted>();
  #timer: NodeJS.Timeout | null = null;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  add({ name, revision, seenAt }: AgentFact): void {
    const noted = this.#written.get(name);
    if (noted?.revision === revision && Math.abs(seenAt - noted.seenAt) < SEEN_MS) return;
    this.#latest.set(name, { name, revision, seenAt });
    this.#arm(WRITE_MS);
  }

  /** The agent's feed ended: what it holds when it comes back is written again. */
  forget(name: string): void {
    this.#written.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#write();
  }

  #arm(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#write();
    }, ms);
  }

  async #write(): Promise<void> {
    const acks = [...this.#latest.values()];
    this.#latest.clear();
    if (acks.length === 0) return;
    try {
      await this.#store.write((db) => recordAcks(db, acks), ["progress"]);
      for (const ack of acks) this.#written.set(ack.name, ack);
    } catch (error) {
      this.#log.warn({ err: error }, "Cannot record acknowledgements; trying again");
      for (const ack of acks) if (!this.#latest.has(ack.name)) this.#latest.set(ack.name, ack);
      this.#arm(RETRY_MS);
    }
  }
}
