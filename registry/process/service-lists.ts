import type { Clock } from "../../lib/clock.ts";
import type { CaService, ReadyCrl } from "../ca/service.ts";
import { type CrlState, readRevoked } from "../store/crls.ts";
import type { Store } from "../store/store.ts";
import { reasonOf } from "./listed-certificates.ts";

/** The service is told of a revocation at once; what it writes then, when it thinks right, is looked for this often. */
const LOOK_EVERY_MS = 60_000;
const PAGE = 500;

/** What a service knows of revocations. */
interface Told {
  /** Serials, of certificates that have not ended. */
  readonly serials: ReadonlySet<string>;
  /** How many revocations Storage had then. */
  readonly wanted: number;
}

/** A list to put into Storage, with the revocations that its CA knows. */
export interface FoundList {
  readonly list: ReadyCrl;
  readonly covered: number;
}

/** Revocations to CAs that are services, and their lists from there. */
export class ServiceLists {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #told = new Map<string, Told>();
  /** When each CA's list is looked for again, by the monotonic clock. */
  readonly #lookAt = new Map<string, number>();

  constructor({ store, clock }: { readonly store: Store; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Tells what the service was not told yet, and looks for its list when it is time.
   * @param ending certificates that ended before are told no more
   * @returns null when there is no newer list
   * @throws Problem signer_unavailable
   */
  async look(
    service: CaService,
    { ca, name, ending }: { ca: string; name: string; ending: number },
    state: CrlState,
  ): Promise<FoundList | null> {
    const before = this.#told.get(ca) ?? { serials: new Set<string>(), wanted: state.covered };
    if (state.wanted > before.wanted) await this.#tell(service, { ca, name, ending }, { ...before, wanted: state.wanted });
    const now = this.#clock.monotonic();
    if (now < (this.#lookAt.get(ca) ?? Number.NEGATIVE_INFINITY)) return null;
    const list = await service.list();
    this.#lookAt.set(ca, now + LOOK_EVERY_MS);
    return list === null || list.number <= state.number ? null : { list, covered: this.#told.get(ca)?.wanted ?? state.covered };
  }

  async #tell(service: CaService, { ca, name: issuer, ending }: { ca: string; name: string; ending: number }, told: Told): Promise<void> {
    const serials = new Set<string>();
    for (let after = ""; ; ) {
      const rows = await this.#store.read((db) => readRevoked(db, { issuer, after, ending, limit: PAGE }));
      for (const { serial, reason } of rows) {
        if (!told.serials.has(serial)) await service.revoke(serial, reasonOf(reason) ?? "unspecified");
        serials.add(serial);
        after = serial;
      }
      if (rows.length < PAGE) break;
    }
    this.#told.set(ca, { serials, wanted: told.wanted });
  }
}
