import type { KeyObject } from "node:crypto";
import type { Clock } from "../../lib/clock.ts";
import type { Prefix } from "../../lib/ip.ts";
import type { Log } from "../../lib/log.ts";
import { Problem } from "../../lib/problem.ts";
import type { Proofs } from "../../lib/registration/proofs.ts";
import type { DeviceCa } from "../ca/device.ts";
import { isSignerUnavailable, signerUnavailable } from "../ca/signer-unavailable.ts";
import { type InboxItem, readInbox } from "../store/intake.ts";
import { readCertificate } from "../store/registrations.ts";
import type { Builder, Command, Lead, Store } from "../store/store.ts";
import { NO_CERTIFICATE, type Prepared, signFor } from "./certificates.ts";
import { type Conclusion, concludeRefused, concludeSubmission, previewSubmission } from "./conclude.ts";
import { type Verified, verifiedSubmission } from "./proof.ts";
import type { Work } from "./work.ts";

/** Most submissions taken at one time; their writes become one durable commit. */
const BATCH = 256;
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

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /**
   * Concludes what waits, at most one batch.
   * @returns false when nothing waited
   * @throws Problem not_leading, signer_unavailable, or what kept Storage from being written; the submissions then still wait
   */
  async take(): Promise<boolean> {
    const { store, certified } = this.#parts;
    if (this.#signerAway) await this.#refuseBeyond();
    // One asks whether it is back; a whole batch would wait for it in turns.
    const limit = this.#signerAway ? 1 : BATCH;
    const items = await store.read((db) => readInbox(db, { certified, limit }));
    const settled = await Promise.allSettled(items.map((item) => this.#conclude(item)));
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

  async #conclude(item: InboxItem): Promise<void> {
    const { store, lead } = this.#parts;
    try {
      const work = await this.#work(item);
      const conclusion = await store.write(
        (db) => work(db, lead),
        ["outcome", "head", ...(item.action === "register" ? [] : (["revocation"] as const))],
      );
      this.#forget(item.id);
      if (conclusion !== null) tellConclusion(this.#parts, item, conclusion);
    } catch (error) {
      // What waits for the signer is no attempt: it stays until the key is back.
      if (error instanceof Problem && error.code !== "certificate_stale") throw error;
      this.#attempts.set(item.id, (this.#attempts.get(item.id) ?? 0) + 1);
      throw error;
    }
  }

  /** The command that concludes an item. A certificate is signed before, because a transaction cannot wait for a signature. */
  async #work(item: InboxItem): Promise<(db: Builder, lead: Lead) => Command<Conclusion>> {
    const { allowed, clock } = this.#parts;
    const now = clock.now();
    const { id } = item;
    const observed = item.observed.split(",");
    const refusing = (problem: Problem) => (db: Builder, lead: Lead) => concludeRefused(db, lead, { id, now, problem });
    if ((this.#attempts.get(id) ?? 0) >= MAX_ATTEMPTS) return refusing(givenUp());
    const firstSeen = this.#firstSeen.get(id) ?? now;
    if (item.csr !== null) this.#firstSeen.set(id, firstSeen);
    let verified: Verified;
    try {
      const certificate = await this.#certificateOf(item);
      verified = await verifiedSubmission(item, { ...this.#parts, certificate }, firstSeen);
    } catch (error) {
      return refusing(error instanceof Problem ? error : givenUp(error));
    }
    const work = { id, ...verified, observed, allowed, now };
    const certificate = item.csr === null ? NO_CERTIFICATE : await this.#prepare(work, item.csr);
    if (certificate.kind === "refused" && certificate.problem.status >= 500) return refusing(certificate.problem);
    return (db, lead) => concludeSubmission(db, lead, work, certificate);
  }

  /** The certificate whose key is said to have signed, as Storage holds it. */
  async #certificateOf({ action, shown, signer }: InboxItem): Promise<string | null> {
    if (shown === null || action !== "renew") return null;
    const device = signer.slice("device:".length);
    return this.#parts.store.read((db) => readCertificate(db, { fingerprint: shown, device }));
  }

  /** What would be refused anyway costs no signature. */
  async #prepare(work: Work, csr: Uint8Array): Promise<Prepared> {
    const { store, lead, deviceCa } = this.#parts;
    try {
      const wanted = await store.read((db) => previewSubmission(db, lead, work));
      return wanted === null ? NO_CERTIFICATE : await signFor(deviceCa(), csr, wanted, work.now);
    } catch (problem) {
      if (problem instanceof Problem && problem.status < 500) return { kind: "refused", problem };
      throw problem;
    }
  }
}

const givenUp = (cause?: unknown): Problem =>
  new Problem(500, "process_failed", "The registry could not process this submission; nothing was spent. Tell the operator.", { cause });
