import { type CrlState, readCrlDer, readCrlState } from "./crls.ts";
import type { Store } from "./store.ts";

/** CAs whose lists are kept ready; there are a handful. */
const MAX_READY = 16;

export interface CrlFile {
  readonly state: CrlState;
  readonly der: Buffer;
}

/** The lists as they are served: one in memory for each CA, however many ask. */
export class CrlFiles {
  readonly #store: Store;
  readonly #ready = new Map<string, CrlFile>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The list that stands. @param name "device-1a2b3c4d.der", or any text @returns null when that is no CA, or has no list yet */
  async find(name: string): Promise<CrlFile | null> {
    const ca = /^([a-z]{1,20}-[0-9a-f]{8})\.der$/.exec(name)?.[1];
    if (ca === undefined) return null;
    const ready = this.#ready.get(ca);
    const found = await this.#store.read(function* (db) {
      const state = yield* readCrlState(db, { ca });
      if (state === undefined || state.number === 0) return null;
      if (ready?.state.sha256 === state.sha256) return { state, der: ready.der };
      return { state, der: Buffer.from((yield* readCrlDer(db, { ca })) ?? []) };
    });
    if (found === null || found.der === ready?.der) return found;
    if (this.#ready.size >= MAX_READY) this.#ready.clear();
    this.#ready.set(ca, found);
    return found;
  }
}
