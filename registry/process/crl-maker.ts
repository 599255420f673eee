import { hash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import type { Authority } from "../ca/authorities.ts";
import type { Issuer } from "../ca/certificate.ts";
import { type CrlFacts, signCrl } from "../ca/crl.ts";
import { CRL_BACKDATE_MS, crlNumber, ROOT_CRL_LIFE_MS } from "../ca/root-crl.ts";
import { isSignerUnavailable } from "../ca/signer-unavailable.ts";
import { type CrlState, prepareCrl, readCrlState, readRevoked } from "../store/crls.ts";
import { assertLead } from "../store/queries.ts";
import type { Lead, Store } from "../store/store.ts";
import { entriesOf, isOfDevices } from "./authorities.ts";
import { storeCrl } from "./crl-store.ts";
import { ServiceLists } from "./service-lists.ts";

/** How long a list lasts, but for the root's; the next one is made when half of it is over. */
export const CRL_LIFE_MS = 7 * 24 * 60 * 60_000;
/** How long past a certificate's own end its entry stays: for clocks that are behind. */
export const CRL_MARGIN_MS = 24 * 60 * 60_000;
/** Revocations share a list made this much after the last one… */
const MIN_INTERVAL_MS = 1_000;
/** …and making lists takes at most this part of the time, however long they got. */
const WORK_SHARE = 10;
const PAGE = 2_000;

export interface CrlParts {
  readonly store: Store;
  readonly lead: Lead;
  readonly authorities: () => readonly Authority[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Keeps the newest list of each CA in Storage and at the gates. */
export class CrlMaker {
  readonly #parts: CrlParts;
  /** When each CA's next list may be made, by the monotonic clock. */
  readonly #notBefore = new Map<string, number>();

  readonly #services: ServiceLists;

  constructor(parts: CrlParts) {
    this.#parts = parts;
    this.#services = new ServiceLists(parts);
  }

  /** Makes what is due: of every CA, also when the signer of one is away. @returns milliseconds until something that is wanted may be made, at most `idleMs` @throws Problem not_leading, signer_unavailable */
  async turn(idleMs: number): Promise<number> {
    let waitMs = idleMs;
    const failures: unknown[] = [];
    for (const authority of this.#parts.authorities()) {
      try {
        waitMs = Math.min(waitMs, await this.#look(authority, idleMs));
      } catch (error) {
        if (!isSignerUnavailable(error)) throw error;
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return waitMs;
  }

  /**
   * The first turn. A signer that is away is no reason not to begin while the lists from before stand: they last for days.
   * @throws Problem not_leading, signer_unavailable when a CA has no list at all
   */
  async begin(idleMs: number): Promise<void> {
    const { store, authorities, log } = this.#parts;
    try {
      await this.turn(idleMs);
    } catch (error) {
      if (!isSignerUnavailable(error)) throw error;
      for (const { id: ca } of authorities()) {
        const state = await store.read((db) => readCrlState(db, { ca }));
        if (state === undefined || state.number === 0) throw error;
      }
      log.error({ err: error }, "Cannot renew a list of revoked certificates; those from before stand");
    }
  }

  async #look(authority: Authority, idleMs: number): Promise<number> {
    const { store, lead, clock } = this.#parts;
    const { id: ca, name, issuer, kept, service } = authority;
    let state = await store.read((db) => readCrlState(db, { ca }));
    if (state === undefined) {
      await store.write(function* (db) {
        yield* assertLead(db, lead);
        yield* prepareCrl(db, { ca, name });
      });
      state = await store.read((db) => readCrlState(db, { ca }));
    }
    if (state === undefined) throw new Error(`Storage has no place for the CRL of ${ca}`);
    if (kept !== null && kept.number > state.number) {
      await this.#publish(authority, state, kept, kept.der);
      return 0;
    }
    if (service !== null) {
      const found = await this.#services.look(service, { ca, name, ending: clock.now() - CRL_MARGIN_MS }, state);
      if (found === null) return idleMs;
      await this.#publish(authority, { ...state, wanted: found.covered }, found.list, found.list.der);
      return 0;
    }
    if (issuer === null || !isDue(state, clock.now())) return idleMs;
    const waitMs = (this.#notBefore.get(ca) ?? 0) - clock.monotonic();
    if (waitMs > 0 && state.number > 0) return waitMs;
    await this.#make(authority, issuer, state);
    return 0;
  }

  async #make(authority: Authority, issuer: Issuer, state: CrlState): Promise<void> {
    const { clock, log } = this.#parts;
    const begun = clock.monotonic();
    const now = clock.now();
    const number = crlNumber(state.number, now);
    const lifeMs = authority.kind === "root" ? ROOT_CRL_LIFE_MS : CRL_LIFE_MS;
    const facts = { number, thisUpdate: seconds(now - CRL_BACKDATE_MS), nextUpdate: seconds(now + lifeMs) };
    const { pages, count } = await this.#entries(authority.name, now - CRL_MARGIN_MS);
    const der = await signCrl(issuer, facts, pages);
    await this.#publish(authority, state, facts, der);
    const tookMs = clock.monotonic() - begun;
    this.#notBefore.set(authority.id, begun + Math.max(MIN_INTERVAL_MS, tookMs * WORK_SHARE));
    log.info({ ca: authority.id, number, entries: count, bytes: der.length, tookMs: Math.round(tookMs) }, "CRL made");
  }

  /** A page at a time, so that a long list holds nothing else up. */
  async #entries(issuer: string, ending: number): Promise<{ readonly pages: readonly Buffer[]; readonly count: number }> {
    const pages: Buffer[] = [];
    let count = 0;
    for (let after = ""; ; await setImmediate()) {
      const page = { issuer, after, ending, limit: PAGE };
      const rows = await this.#parts.store.read((db) => readRevoked(db, page));
      pages.push(entriesOf(rows));
      count += rows.length;
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return { pages, count };
      after = last.serial;
    }
  }

  async #publish({ id: ca, kind }: Authority, state: CrlState, { number, thisUpdate, nextUpdate }: CrlFacts, der: Buffer): Promise<void> {
    const { store, lead, clock } = this.#parts;
    const list = { ca, covered: state.wanted, number, this_update: thisUpdate, next_update: nextUpdate, sha256: hash("sha256", der), der };
    await store.write((db) => storeCrl(db, lead, { list, told: isOfDevices({ kind }), now: clock.now() }), ["head"]);
  }
}

/** None yet, without a revocation that was made since, past half of its life, or from a time that the clock says is still to come. */
const isDue = ({ number, wanted, covered, this_update, next_update }: CrlState, now: number): boolean =>
  number === 0 || wanted > covered || now >= (this_update + next_update) / 2 || this_update > now;

const seconds = (ms: number): number => Math.floor(ms / 1_000) * 1_000;
