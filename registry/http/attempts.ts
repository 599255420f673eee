import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import { Problem } from "../../lib/problem.ts";
import type { RegistryConfig } from "../config.ts";
import { ATTEMPT_WINDOW_MS, countAttempt, MAX_SIGNERS, OTHERS, RIGHT, readAttempts, TRIM_BATCH, trimAttempts } from "../store/attempts.ts";
import type { Builder, Command, Store } from "../store/store.ts";

/** Windows that are over are taken away this often, and whenever a batch of attempts was counted since. */
const TRIM_EVERY_MS = 60_000;

export interface Attempt {
  /** Canonical text of what limits count as one source. */
  readonly source: string;
  /** As in the submission: `code:SELECTOR` or `device:UUID`. */
  readonly signer: string;
  readonly now: number;
}

/** What counts of one source, for one signer. */
interface CountedRow {
  readonly signer: string;
  readonly since: number;
  readonly count: number;
}

/**
 * Limits that outlive a restart and hold for all replicas together, because they are counted in Storage: right proofs per source, wrong
 * proofs per source, and wrong proofs per source and signer. Never per signer alone: who knows a selector cannot lock its owner out
 * from elsewhere. Each attempt writes one row; one that is refused for a limit writes none.
 */
export class Attempts implements Disposable {
  readonly #limits: RegistryConfig["limits"];
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #counted = 0;
  #trimming = false;

  constructor(
    limits: RegistryConfig["limits"],
    { store, clock, log }: { readonly store: Store; readonly clock: Clock; readonly log: Log },
  ) {
    this.#limits = limits;
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#timer = setInterval(() => void this.#trim(), TRIM_EVERY_MS).unref();
  }

  /**
   * Comes before anything is looked up or verified, so that it tells nothing of whether a signer is there.
   * @throws Problem proofs_limited
   */
  *assertOpen(db: Builder, attempt: Attempt): Command<void> {
    const [refusal] = yield* this.refusals(db, [attempt]);
    if (refusal) throw refusal;
  }

  /** As {@link Attempts.assertOpen}, of many. @returns for each null, or the problem */
  *refusals(db: Builder, attempts: readonly Attempt[]): Command<readonly (Problem | null)[]> {
    const rows = new Map<string, readonly CountedRow[]>();
    for (const { source, now } of attempts) if (!rows.has(source)) rows.set(source, yield* readAttempts(db, { source, now }));
    return attempts.map(({ source, signer, now }) => this.#refusal(rows.get(source) ?? [], signer, now));
  }

  /** Counts right proofs, in the transaction that stores their submissions. @returns for each null, or why it is kept out */
  *countRight(db: Builder, attempts: readonly Attempt[]): Command<readonly (Problem | null)[]> {
    const refusals: (Problem | null)[] = attempts.map(() => null);
    for (const [source, own] of Map.groupBy(attempts.entries(), ([, attempt]) => attempt.source)) {
      const now = Math.max(...own.map(([, attempt]) => attempt.now));
      const { since, excess } = yield* this.#countOf(db, { source, now, times: own.length });
      for (const [index] of own.slice(own.length - excess)) refusals[index] = registrationsLimited(since, now);
    }
    return refusals;
  }

  /** @returns how many of them are beyond the limit; those are not counted */
  *#countOf(
    db: Builder,
    { source, now, times }: { readonly source: string; readonly now: number; readonly times: number },
  ): Command<{ readonly since: number; readonly excess: number }> {
    const { since, count } = yield* countAttempt(db, { source, signer: RIGHT, now, times });
    this.#noted(times);
    const excess = Math.min(times, Math.max(0, count - this.#limits.registrationsPerHour));
    if (excess > 0) yield* countAttempt(db, { source, signer: RIGHT, now, times: -excess });
    return { since, excess };
  }

  /** Counts a wrong proof; to be awaited before it is answered. @throws Problem proofs_limited when others were counted meanwhile */
  async countWrong(attempt: Attempt): Promise<void> {
    await this.#store.write((db) => this.#countWrong(db, attempt));
    this.#noted(1);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  *#countWrong(db: Builder, { source, signer, now }: Attempt): Command<void> {
    const rows = yield* readAttempts(db, { source, now });
    const refusal = this.#refusal(rows, signer, now);
    if (refusal !== null) throw refusal;
    const apart = rows.filter((row) => row.signer !== RIGHT && row.signer !== OTHERS);
    const own = apart.length < MAX_SIGNERS || apart.some((row) => row.signer === signer);
    yield* countAttempt(db, { source, signer: own ? signer : OTHERS, now });
  }

  #refusal(rows: readonly CountedRow[], signer: string, now: number): Problem | null {
    const wrong = rows.filter((row) => row.signer !== RIGHT);
    const own = wrong.find((row) => row.signer === signer);
    if (own !== undefined && own.count >= this.#limits.wrongProofsPerSigner) return wrongProofs(own.since, now);
    if (wrong.reduce((sum, row) => sum + row.count, 0) < this.#limits.wrongProofsPerHour) return null;
    return wrongProofs(Math.min(...wrong.map((row) => row.since)), now);
  }

  #noted(times: number): void {
    this.#counted += times;
    if (this.#counted >= TRIM_BATCH) void this.#trim();
  }

  async #trim(): Promise<void> {
    if (this.#trimming) return;
    this.#trimming = true;
    this.#counted = 0;
    try {
      while (await this.#store.write((db) => trimAttempts(db, { now: this.#clock.now() })));
    } catch (error) {
      this.#log.warn({ err: error }, "Cannot take away attempts that no longer count; trying again later");
    } finally {
      this.#trimming = false;
    }
  }
}

function registrationsLimited(since: number, now: number): Problem {
  const { extra, when } = retryAfter(since, now);
  return new Problem(429, "registrations_limited", `Too many registrations from this address: come back in ${when}.`, { extra });
}

function wrongProofs(since: number, now: number): Problem {
  const { extra, when } = retryAfter(since, now);
  return new Problem(429, "proofs_limited", `Too many wrong proofs from this address: check the security code, and come back in ${when}.`, {
    extra,
  });
}

/** When the window is over, in seconds for the header Retry-After and in words. */
function retryAfter(since: number, now: number): { readonly extra: { readonly retryAfter: number }; readonly when: string } {
  const leftMs = Math.min(Math.max(since + ATTEMPT_WINDOW_MS - now, 0), ATTEMPT_WINDOW_MS);
  const seconds = Math.max(1, Math.ceil(leftMs / 1_000));
  return { extra: { retryAfter: seconds }, when: seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} minutes` };
}
