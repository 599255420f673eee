import type { Log } from "../../lib/log.ts";
import { readSigningName } from "../process/authorities.ts";
import type { Store } from "../store/store.ts";
import type { Peer } from "./peer.ts";

/** A renewal costs the registry a handshake, a signature and a commit: agents ask over a window of this much for each, within bounds. */
const SPREAD_PER_AGENT_MS = 20;
const MIN_SPREAD_MS = 1_000;
const MAX_SPREAD_MS = 300_000;

/**
 * Tells each agent once a connection when the CA of its certificate signs no more, so that a rotation of the infrastructure CA takes
 * minutes and not the life of a certificate. An agent that comes with its next one is told nothing.
 */
export class LeavingIssuers {
  readonly #store: Store;
  readonly #log: Log;
  #looking = false;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** To be called once a heartbeat interval. */
  async look(greeted: () => Iterable<Pick<Peer, "issuer" | "tellToRenew">>): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const signing = await this.#store.read((db) => readSigningName(db, "infrastructure"));
      if (signing === null) return;
      const leaving = [...greeted()].filter(({ issuer }) => issuer !== signing);
      const spreadMs = Math.min(MAX_SPREAD_MS, Math.max(MIN_SPREAD_MS, leaving.length * SPREAD_PER_AGENT_MS));
      const told = leaving.filter((peer) => peer.tellToRenew(spreadMs)).length;
      if (told > 0) this.#log.info({ agents: told, spreadMs, signing }, "Agents are told that the CA of their certificates leaves");
    } catch (error) {
      this.#log.error({ err: error }, "Cannot look which CA signs; trying again");
    } finally {
      this.#looking = false;
    }
  }
}
