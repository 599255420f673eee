import type { KeyObject } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { asError } from "../../lib/as-error.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Prefix } from "../../lib/ip.ts";
import type { Log } from "../../lib/log.ts";
import { Problem } from "../../lib/problem.ts";
import type { Proofs } from "../../lib/registration/proofs.ts";
import type { DeviceCa } from "../ca/device.ts";
import { isSignerUnavailable, signerUnavailable } from "../ca/signer-unavailable.ts";
import { type InboxItem, readInbox } from "../store/intake.ts";
import { readCertificate } from "../store/registrations.ts";
import type { Lead, Store, Together, Topic } from "../store/store.ts";
import { NO_CERTIFICATE, type Prepared, signFor, type Wanted } from "./certificates.ts";
import {
  type Conclusion,
  concludeRefused,
  concludeRegistrations,
  concludeSubmission,
  isRegistration,
  previewSubmissions,
} from "./conclude.ts";
import { verifiedSubmission } from "./proof.ts";
import type { Registering } from "./register.ts";
import type { Work } from "./work.ts";

/** Most submissions taken at one time; their writes become one durable commit. */
const BATCH = 256;
/** Of those with certificate requests. */
const CERTIFIED_BATCH = 32;
/** Requests verified and signed in one turn of the event loop, which takes about a millisecond: what is registered without one comes between. */
const SIGNED_AT_ONCE = 4;
/** Submissions that wait for a key that cannot sign at the moment; more are refused, so that the inbox stays open to all others. */
export const MAX_WAITING_FOR_SIGNER = 1_000;
/** A submission that fails for no reason of its own and none of Storage is tried this often, then given up with a 500. */
const MAX_ATTEMPTS = 3;

export interface IntakeParts {
  /** Which it takes: those with a certificate request, which may have to wait for a key service, or those without. */
  readonly certified: boolean;
  readonly store: Store;
  readonly lead: Lead;
  /** The registry's name, part of every proof. */
  readonly registry: string;
  /** The CA that signs at this moment; null while there is none. */
  readonly deviceCa: () => DeviceCa | null;
  /** Opens what register sealed. */
  readonly sealing: KeyObject;
  readonly proofs: Proofs;
  readonly allowed: readonly Prefix[];
  /** Told of each conclusion: its outcome, and milliseconds since it was stored. */
  readonly onConcluded: (outcome: string, waitedMs: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** What each conclusion wakes. */
const WAKES: readonly Topic[] = ["outcome", "head"];

/** An item, and what is to be done for it. */
interface Looked {
  readonly item: InboxItem;
  readonly work: Work | Problem;
}

/** As it goes into its transaction; an error when it could not be signed. */
interface Ready extends Looked {
  readonly certificate: Prepared | Error;
}

/** Counts a conclusion that is durable, and logs it. */
export function tellConclusion(
  { onConcluded, clock, log }: Pick<IntakeParts, "onConcluded" | "clock" | "log">,
  item: InboxItem,
  conclusion: NonNullable<Conclusion>,
): void {
  onConcluded(conclusion.outcome, clock.now() - item.received_at);
  log.info({ registration: item.id, signer: item.signer, ...conclusion }, "Submission concluded");
}

/** Empties its part of the inbox, batch by batch. */
export class Intake {
  readonly #parts: IntakeParts;
  readonly #attempts = new Map<string, number>();
  /** When each that waits was first looked at: its proof was in time then, however long the signer is away. */
  readonly #firstSeen = new Map<string, number>();
  #signerAway = false;
  /** Registrations that come together are concluded together. */
  readonly #register: Together<Registering, Conclusion>;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    this.#register = (db, registrations) => concludeRegistrations(db, parts.lead, registrations);
  }

  /**
   * Concludes what waits, at most one batch.
   * @returns false when nothing waited
   * @throws Problem not_leading, signer_unavailable, or what kept Storage from being written; the submissions then still wait
   */
  async take(): Promise<boolean> {
    const { store, certified, clock } = this.#parts;
    if (this.#signerAway) await this.#refuseBeyond();
    // One asks whether it is back; a whole batch would wait for it in turns.
    const limit = this.#signerAway ? 1 : certified ? CERTIFIED_BATCH : BATCH;
    const items = await store.read((db) => readInbox(db, { certified, limit }));
    const now = clock.now();
    const looked = await Promise.all(items.map(async (item) => ({ item, work: await this.#look(item, now) })));
    const wanted = await this.#wanted(looked);
    const prepared: Promise<Ready>[] = [];
    for (const [index, each] of looked.entries()) {
      if (certified && index % SIGNED_AT_ONCE === 0) await setImmediate();
      prepared.push(this.#prepare(each, wanted));
    }
    // Those that come together are concluded together, so none before the last is signed.
    const ready = await Promise.all(prepared);
    const settled = await Promise.allSettled(ready.map((each) => this.#conclude(each)));
    const failed = settled.find((result) => result.status === "rejected");
    this.#signerAway = failed !== undefined && isSignerUnavailable(failed.reason);
    if (failed !== undefined) throw failed.reason;
    return items.length > 0;
  }

  /** While the signer is away so many wait for it; the latest beyond are told, with nothing spent. */
  async #refuseBeyond(): Promise<void> {
    const { store, lead, certified, clock, onConcluded } = this.#parts;
    const page = { certified, limit: BATCH, skip: MAX_WAITING_FOR_SIGNER };
    for (;;) {
      const beyond = await store.read((db) => readInbox(db, page));
      for (const { id, received_at } of beyond) {
        const refusal = { id, now: clock.now(), problem: signerUnavailable(null) };
        const conclusion = await store.write((db) => concludeRefused(db, lead, refusal), ["outcome"]);
        this.#forget(id);
        if (conclusion !== null) onConcluded(conclusion.outcome, clock.now() - received_at);
      }
      if (beyond.length < BATCH) return;
    }
  }

  #forget(id: string): void {
    this.#attempts.delete(id);
    this.#firstSeen.delete(id);
  }

  /** What is to be done for an item; a Problem when nothing but to refuse it. */
  async #look(item: InboxItem, now: number): Promise<Work | Problem> {
    const { id } = item;
    if ((this.#attempts.get(id) ?? 0) >= MAX_ATTEMPTS) return givenUp();
    const firstSeen = this.#firstSeen.get(id) ?? now;
    if (item.csr !== null) this.#firstSeen.set(id, firstSeen);
    try {
      const certificate = await this.#certificateOf(item);
      const verified = verifiedSubmission(item, { ...this.#parts, certificate }, firstSeen);
      return { id, ...verified, observed: item.observed.split(","), allowed: this.#parts.allowed, now };
    } catch (error) {
      return error instanceof Problem ? error : givenUp(error);
    }
  }

  /** What certificates go with them, looked up for all at one time. */
  async #wanted(looked: readonly Looked[]): Promise<ReadonlyMap<Work, Wanted | null | Error>> {
    const { store, lead } = this.#parts;
    const works = looked.flatMap(({ item, work }) => (item.csr === null || work instanceof Problem ? [] : [work]));
    if (works.length === 0) return new Map();
    try {
      return await store.read((db) => previewSubmissions(db, lead, works));
    } catch (error) {
      const failed = asError(error);
      return new Map(works.map((work) => [work, failed]));
    }
  }

  async #conclude({ item, work, certificate }: Ready): Promise<void> {
    try {
      if (certificate instanceof Error) throw certificate;
      const conclusion = work instanceof Problem ? await this.#refuse(item, work) : await this.#do(item, work, certificate);
      this.#forget(item.id);
      if (conclusion !== null) tellConclusion(this.#parts, item, conclusion);
    } catch (error) {
      // What waits for the signer is no attempt: it stays until the key is back.
      if (error instanceof Problem && error.code !== "certificate_stale") throw error;
      this.#attempts.set(item.id, (this.#attempts.get(item.id) ?? 0) + 1);
      throw error;
    }
  }

  #refuse({ id }: InboxItem, problem: Problem): Promise<Conclusion> {
    const { store, lead, clock } = this.#parts;
    return store.write((db) => concludeRefused(db, lead, { id, now: clock.now(), problem }), WAKES);
  }

  #do(item: InboxItem, work: Work, certificate: Prepared): Promise<Conclusion> {
    const { store, lead } = this.#parts;
    if (certificate.kind === "refused" && certificate.problem.status >= 500) return this.#refuse(item, certificate.problem);
    const input = { work, certificate };
    if (isRegistration(work)) return store.writeTogether(this.#register, input, WAKES);
    return store.write((db) => concludeSubmission(db, lead, input), [...WAKES, "revocation"]);
  }

  /** The certificate whose key is said to have signed, as Storage holds it. */
  async #certificateOf({ action, shown, signer }: InboxItem): Promise<string | null> {
    if (shown === null || action !== "renew") return null;
    const device = signer.slice("device:".length);
    return this.#parts.store.read((db) => readCertificate(db, { fingerprint: shown, device }));
  }

  /**
   * Signs before the command that stores, because a transaction cannot wait for a signature. What would be refused anyway costs none.
   * What keeps it from being signed is a result like any other, so that the rest of the batch goes on.
   */
  async #prepare(looked: Looked, wantedBy: ReadonlyMap<Work, Wanted | null | Error>): Promise<Ready> {
    const { item, work } = looked;
    const wanted = work instanceof Problem ? null : (wantedBy.get(work) ?? null);
    if (item.csr === null || work instanceof Problem || wanted === null) return { ...looked, certificate: NO_CERTIFICATE };
    if (wanted instanceof Problem && wanted.status < 500) return { ...looked, certificate: { kind: "refused", problem: wanted } };
    if (wanted instanceof Error) return { ...looked, certificate: wanted };
    try {
      return { ...looked, certificate: await signFor(this.#parts.deviceCa(), item.csr, wanted, work.now) };
    } catch (error) {
      return { ...looked, certificate: asError(error) };
    }
  }
}

const givenUp = (cause?: unknown): Problem =>
  new Problem(500, "process_failed", "The registry could not process this submission; nothing was spent. Tell the operator.", { cause });
