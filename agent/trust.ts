import type { Change, TrustTarget } from "../lib/feed/messages.ts";
import type { Belief } from "./belief.ts";
import type { TrustDifference } from "./target.ts";
import { type Entry, put, Tracked } from "./tracked.ts";

export type TrustEntry = Extract<Change, { kind: "trust.set" }>;

/** An entry as the disk holds it: believed, or held back. */
export interface TrustRow {
  readonly held: boolean;
  readonly target: string;
  readonly id: string;
  readonly body: string;
}

/** Differences of what no target is handed: what is held back, and what is remembered of trust. The disk holds them too. */
export interface HeldPending {
  readonly heldTrust: readonly TrustDifference[];
  /** Removed certificates by fingerprint: notAfter, integer ms. */
  readonly tombstones: readonly Entry<number>[];
  /** CRL numbers by CA. */
  readonly numbers: readonly Entry<number>[];
}

/**
 * The trust that the registry names: what this host believes goes to the targets, the rest is held back.
 * Of a CRL that is held back, the earlier one stays with the targets.
 */
export class TrustState {
  /** Terminators read it whole when they come to it. */
  readonly #believed = new Tracked<string>(new Map(), { keepsReturns: true });
  readonly #held = new Tracked<string>();
  /** CAs that the registry names, believed or not, by id. */
  #cas = new Map<string, string>();
  /** Entries that the registry names, believed or not. */
  #counts: Record<TrustTarget, number> = { ca: 0, crl: 0, certificate: 0, binding: 0 };
  #belief: Belief | null;
  readonly #back: boolean;

  /** As {@link DesiredState}'s. */
  constructor(belief: Belief | null, back: boolean) {
    this.#belief = belief;
    this.#back = back;
  }

  get belief(): Belief | null {
    return this.#belief;
  }

  get size(): number {
    const { ca, crl, certificate, binding } = this.#counts;
    return ca + crl + certificate + binding;
  }

  get refused(): number {
    return this.#held.size;
  }

  get counts(): Readonly<Record<TrustTarget, number>> {
    return this.#counts;
  }

  get pendingSize(): number {
    return this.#believed.pendingSize;
  }

  /** PEM of the roots that are believed, the pinned one too where the registry names it. */
  get roots(): readonly string[] {
    return [...this.#cas.keys()].filter((id) => id.startsWith("root-")).flatMap((id) => this.#believed.get(trustKey("ca", id)) ?? []);
  }

  *believed(): Generator<TrustEntry> {
    for (const [key, body] of this.#believed.entries()) yield { kind: "trust.set", ...splitTrust(key), body };
  }

  /** CRLs that are believed, by their CA's id. */
  *lists(): Generator<{ readonly id: string; readonly body: string }> {
    for (const id of this.#cas.keys()) {
      const body = this.#believed.get(trustKey("crl", id));
      if (body !== null) yield { id, body };
    }
  }

  *held(): Generator<TrustEntry> {
    for (const [key, body] of this.#held.entries()) yield { kind: "trust.set", ...splitTrust(key), body };
  }

  /** These rows, each once, are all entries, each believed or held back as it says. */
  equals(rows: Iterable<TrustRow>): boolean {
    let count = 0;
    for (const { held, target, id, body } of rows) {
      if ((held ? this.#held : this.#believed).get(trustKey(target, id)) !== body) return false;
      count++;
    }
    return count === this.#believed.size + this.#held.size;
  }

  /** What the registry says of an entry; null when nothing. */
  get(key: string): string | null {
    return this.#held.get(key) ?? this.#believed.get(key);
  }

  /**
   * @param body null removes
   * @param live the change is taken in for good: its differences are kept, and what it means is remembered
   * @returns what the registry said before
   */
  set(target: TrustTarget, id: string, body: string | null, live: boolean): string | null {
    const key = trustKey(target, id);
    const old = this.get(key);
    if (old === body) return old;
    this.#counts[target] += Number(body !== null) - Number(old !== null);
    if (target === "ca") {
      if (body === null) this.#cas.delete(id);
      else this.#cas.set(id, body);
      if (body === null) this.#place(key, null, false, live);
      this.#judgeCas(live);
    } else if (body === null) {
      this.#place(key, null, false, live);
      if (live && target === "certificate" && old !== null) this.#belief?.bury(id, old);
    } else {
      const believed = (this.#belief?.doubt({ kind: "trust.set", target, id, body }, this.#back) ?? null) === null;
      this.#place(key, body, believed, live);
      if (live && believed && target === "crl") this.#belief?.follow(id, body, this.#back);
    }
    return old;
  }

  differences(): TrustDifference[] {
    return this.#believed.differences().map(trustDifference);
  }

  heldDifferences(): HeldPending {
    return {
      heldTrust: this.#held.differences().map(trustDifference),
      tombstones: this.#belief?.tombstones.differences() ?? [],
      numbers: this.#belief?.numbers.differences() ?? [],
    };
  }

  acknowledge(trust: readonly TrustDifference[], { heldTrust, tombstones, numbers }: HeldPending): void {
    this.#believed.acknowledge(trust.map(({ target, id, wanted }) => ({ key: trustKey(target, id), wanted })));
    this.#held.acknowledge(heldTrust.map(({ target, id, wanted }) => ({ key: trustKey(target, id), wanted })));
    this.#belief?.tombstones.acknowledge(tombstones);
    this.#belief?.numbers.acknowledge(numbers);
  }

  acknowledgeAll(): void {
    this.#believed.acknowledgeAll();
    this.#held.acknowledgeAll();
    this.#belief?.tombstones.acknowledgeAll();
    this.#belief?.numbers.acknowledgeAll();
  }

  /** As {@link Tracked.adopt}. What `next` no longer names is remembered for good. */
  adopt(next: TrustState, most: number): boolean {
    next.#follow(this);
    this.#belief = next.#belief;
    this.#cas = next.#cas;
    this.#counts = next.#counts;
    this.#held.adopt(next.#held, 0);
    this.#held.acknowledgeAll();
    return this.#believed.adopt(next.#believed, most);
  }

  #follow(before: TrustState): void {
    for (const { target, id, body } of before.believed()) {
      const key = trustKey(target, id);
      if (target === "certificate" && this.get(key) === null) this.#belief?.bury(id, body);
      if (target === "crl" && this.#held.get(key) !== null) this.#believed.fill(key, body);
    }
    for (const { target, id, body } of this.believed()) {
      if (target === "crl" && this.#held.get(trustKey(target, id)) === null) this.#belief?.follow(id, body, this.#back);
    }
  }

  /** Any CA may be what others chain by: all are judged again. */
  #judgeCas(track: boolean): void {
    const chained = this.#belief?.chained(this.#cas) ?? null;
    for (const [id, body] of this.#cas) this.#place(trustKey("ca", id), body, chained === null || chained.has(id), track);
  }

  #place(key: string, body: string | null, believed: boolean, track: boolean): void {
    put(this.#held, key, body === null || believed ? null : body, track);
    if (body === null || believed) put(this.#believed, key, body, track);
    else if (!key.startsWith("crl ")) put(this.#believed, key, null, track);
  }
}

export const trustKey = (target: string, id: string): string => `${target} ${id}`;
const trustDifference = ({ key, ...rest }: Entry<string>): TrustDifference => ({ ...splitTrust(key), ...rest });

function splitTrust(key: string): { target: TrustTarget; id: string } {
  const at = key.indexOf(" ");
  return { target: key.slice(0, at) as TrustTarget, id: key.slice(at + 1) };
}
