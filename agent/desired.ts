import { ruleLine, StateDigest, trustLine } from "../lib/feed/digest.ts";
import type { Change } from "../lib/feed/messages.ts";
import type { RuleLane } from "../lib/service.ts";
import type { Difference } from "./target.ts";

export type TrustEntry = Extract<Change, { kind: "trust.set" }>;
export interface Rule {
  readonly lane: RuleLane;
  readonly prefix: string;
  readonly expiresAt: number;
}

export interface Aside {
  readonly trust: readonly TrustEntry[];
  readonly refused: readonly Rule[];
}

/** Up to this many differences are applied one by one; beyond it a target is resynced whole. */
export const MAX_DIFFERENCES = 50_000;

/** The widest prefix per family that this host admits, whatever the feed says (invariant 13). */
export interface Widest {
  readonly widest4: number;
  readonly widest6: number;
}

/**
 * What the registry wants at one revision, and how that differs from what the targets acknowledged.
 * One map holds a million rules; only the differences are kept twice. Rules wider than the host's ceiling count in the
 * digest, so that it stays comparable, but are never handed to a target.
 */
export class DesiredState {
  epoch: string | null = null;
  revision = 0;
  readonly #widest: Widest;
  #rules = new Map<string, number>();
  #refused = new Map<string, number>();
  #trust = new Map<string, TrustEntry>();
  #digest = new StateDigest();
  /** Per changed rule, the expiry that is applied; null when it is not. */
  #pending = new Map<string, number | null>();
  #aside: Aside | null = null;

  constructor(widest: Widest = { widest4: 0, widest6: 0 }) {
    this.#widest = widest;
  }

  /** Rules that targets are to hold. */
  get size(): number {
    return this.#rules.size;
  }

  /** Rules that are too wide for this host. */
  get refused(): number {
    return this.#refused.size;
  }

  get digest(): string {
    return this.#digest.hex;
  }

  get pendingSize(): number {
    return this.#pending.size;
  }

  *rules(): Generator<Rule> {
    for (const [key, expiresAt] of this.#rules) yield { ...split(key), expiresAt };
  }

  trust(): readonly TrustEntry[] {
    return this.aside().trust;
  }

  /** Trust and refused rules at this moment: one object until either changes, so that it need not be compared entry by entry. */
  aside(): Aside {
    this.#aside ??= {
      trust: [...this.#trust.values()],
      refused: [...this.#refused].map(([text, expiresAt]) => ({ ...split(text), expiresAt })),
    };
    return this.#aside;
  }

  /** Takes one change in; touches nothing outside. */
  change(change: Change): void {
    switch (change.kind) {
      case "rule.set":
        this.#setRule(join(change.lane, change.prefix), change.expiresAt, true);
        return;
      case "rule.remove":
        this.#setRule(join(change.lane, change.prefix), null, true);
        return;
      case "trust.set": {
        this.#dropTrust(change.target, change.id);
        this.#trust.set(`${change.target} ${change.id}`, change);
        this.#aside = null;
        this.#digest.add(trustLine(change));
        return;
      }
      case "trust.remove":
        this.#dropTrust(change.target, change.id);
        return;
      default:
        change satisfies never;
    }
  }

  /** Takes a rule in without keeping a difference: for filling a new state that is adopted or resynced whole. */
  load(rule: Rule): void {
    this.#setRule(join(rule.lane, rule.prefix), rule.expiresAt, false);
  }

  /** The differences at this moment; pass the same array to {@link acknowledge} once a target has applied them. */
  pending(): readonly Difference[] {
    return [...this.#pending].map(([text, applied]) => ({ ...split(text), applied, wanted: this.#rules.get(text) ?? null }));
  }

  /** These differences are in force: what changed again meanwhile stays pending against the value just applied. */
  acknowledge(applied: readonly Difference[]): void {
    for (const { lane, prefix, wanted } of applied) {
      const text = join(lane, prefix);
      if ((this.#rules.get(text) ?? null) === wanted) this.#pending.delete(text);
      else this.#pending.set(text, wanted);
    }
  }

  /** Everything is in force: right after a resync from exactly this state. */
  acknowledgeAll(): void {
    this.#pending.clear();
  }

  /**
   * Becomes `next` (a snapshot, filled by {@link load}; it must not be used afterwards), keeping what differs from what is applied.
   * @returns false when more than `mostDifferences` differ: then none are kept and every target needs a resync
   */
  adopt(next: DesiredState, mostDifferences = MAX_DIFFERENCES): boolean {
    const differences = this.#differencesTo(next, mostDifferences);
    this.epoch = next.epoch;
    this.revision = next.revision;
    this.#rules = next.#rules;
    this.#refused = next.#refused;
    this.#trust = next.#trust;
    this.#aside = next.#aside;
    this.#digest = next.#digest;
    this.#pending = differences ?? new Map();
    return differences !== null;
  }

  #differencesTo(next: DesiredState, most: number): Map<string, number | null> | null {
    const applied = (text: string): number | null =>
      this.#pending.get(text) ?? (this.#pending.has(text) ? null : (this.#rules.get(text) ?? null));
    const differences = new Map<string, number | null>();
    for (const [text, wanted] of next.#rules) {
      if (applied(text) !== wanted) differences.set(text, applied(text));
      if (differences.size > most) return null;
    }
    for (const known of [this.#rules, this.#pending]) {
      for (const text of known.keys()) {
        if (applied(text) !== null && !next.#rules.has(text)) differences.set(text, applied(text));
        if (differences.size > most) return null;
      }
    }
    return differences;
  }

  #setRule(text: string, expiresAt: number | null, track: boolean): void {
    const { lane, prefix } = split(text);
    const rules = this.#admissible(prefix) ? this.#rules : this.#refused;
    const old = rules.get(text) ?? null;
    if (old === expiresAt) return;
    if (old !== null) this.#digest.remove(ruleLine(lane, prefix, old));
    if (expiresAt !== null) this.#digest.add(ruleLine(lane, prefix, expiresAt));
    if (expiresAt === null) rules.delete(text);
    else rules.set(text, expiresAt);
    if (rules === this.#refused) this.#aside = null;
    if (!track || rules === this.#refused) return;
    if (!this.#pending.has(text)) this.#pending.set(text, old);
    else if (this.#pending.get(text) === expiresAt) this.#pending.delete(text);
  }

  #admissible(prefix: string): boolean {
    const length = Number(prefix.slice(prefix.indexOf("/") + 1));
    return length >= (prefix.includes(":") ? this.#widest.widest6 : this.#widest.widest4);
  }

  #dropTrust(target: string, id: string): void {
    const old = this.#trust.get(`${target} ${id}`);
    if (old === undefined) return;
    this.#digest.remove(trustLine(old));
    this.#trust.delete(`${target} ${id}`);
    this.#aside = null;
  }
}

const join = (lane: RuleLane, prefix: string): string => `${lane} ${prefix}`;

function split(text: string): { lane: RuleLane; prefix: string } {
  const at = text.indexOf(" ");
  return { lane: text.slice(0, at) as RuleLane, prefix: text.slice(at + 1) };
}
