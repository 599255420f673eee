import type { Clock } from "../../lib/clock.ts";
import type { Prefix } from "../../lib/ip.ts";
import type { Log } from "../../lib/log.ts";
import { Problem } from "../../lib/problem.ts";
import { type InboxItem, readInbox } from "../store/intake.ts";
import type { Builder, Command, Lead, Store } from "../store/store.ts";
import { type Conclusion, concludeRefused, concludeSubmission } from "./conclude.ts";
import { verifiedSubmission } from "./proof.ts";

/** Most submissions taken at one time; their writes become one durable commit. */
const BATCH = 256;
/** A submission that fails for no reason of its own and none of Storage is tried this often, then given up with a 500. */
const MAX_ATTEMPTS = 3;

export interface IntakeParts {
  readonly store: Store;
  readonly lead: Lead;
  /** The registry's name, part of every proof. */
  readonly registry: string;
  readonly allowed: readonly Prefix[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Empties the inbox, batch by batch. */
export class Intake {
  readonly #parts: IntakeParts;
  readonly #attempts = new Map<string, number>();

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /**
   * Concludes what waits, at most one batch.
   * @returns false when nothing waited
   * @throws Problem not_leading, or what kept Storage from being written; the submissions then still wait
   */
  async take(): Promise<boolean> {
    const items = await this.#parts.store.read((db) => readInbox(db, { limit: BATCH }));
    const settled = await Promise.allSettled(items.map((item) => this.#conclude(item)));
    const failed = settled.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return items.length > 0;
  }

  async #conclude(item: InboxItem): Promise<void> {
    const { store, lead, log } = this.#parts;
    const work = this.#work(item);
    try {
      const conclusion = await store.write((db) => work(db, lead), ["outcome", "head"]);
      this.#attempts.delete(item.id);
      if (conclusion !== null) log.info({ registration: item.id, signer: item.signer, ...conclusion }, "Submission concluded");
    } catch (error) {
      if (error instanceof Problem) throw error;
      this.#attempts.set(item.id, (this.#attempts.get(item.id) ?? 0) + 1);
      throw error;
    }
  }

  /** The command that concludes an item. */
  #work(item: InboxItem): (db: Builder, lead: Lead) => Command<Conclusion> {
    const { registry, allowed, clock } = this.#parts;
    const now = clock.now();
    const { id } = item;
    const observed = item.observed.split(",");
    if ((this.#attempts.get(id) ?? 0) >= MAX_ATTEMPTS) return (db, lead) => concludeRefused(db, lead, { id, now, problem: givenUp() });
    try {
      const submission = verifiedSubmission(item, registry, now);
      return (db, lead) => concludeSubmission(db, lead, { id, submission, observed, allowed, now });
    } catch (error) {
      const problem = error instanceof Problem ? error : givenUp(error);
      return (db, lead) => concludeRefused(db, lead, { id, now, problem });
    }
  }
}

const givenUp = (cause?: unknown): Problem =>
  new Problem(500, "process_failed", "The registry could not process this submission; nothing was spent. Tell the operator.", { cause });
