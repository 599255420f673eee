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

/**
 * What the registry wants at one revision, and how that differs from what the targets acknowledged.
 * One map holds a million rules; only the differences are kept twice.
 */
export class DesiredState {
  epoch: string | null = null;
  revision = 0;
  readonly #rules = new Map<string, number>();
  readonly #trust = new Map<string, TrustEntry>();
  readonly #digest = new StateDigest();
  /** Per changed rule, the expiry that is applied; null when it is not. */
  readonly #pending = new Map<string, number | null>();

  get size(): number {
    return this.#rules.size;
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
    return [...this.#trust.values()];
  }

  /** Takes one change in; touches nothing outside. */
  change(change: Change): void {
    switch (change.kind) {
      case "rule.set":
        this.#setRule(key(change.lane, change.prefix), change.expiresAt);
        return;
      case "rule.remove":
        this.#setRule(key(change.lane, change.prefix), null);
        return;
      case "trust.set": {
        this.#dropTrust(change.target, change.id);
        this.#trust.set(`${change.target} ${change.id}`, change);
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

  /** The differences at this moment; pass the same array to {@link acknowledge} once a target has applied them. */
  pending(): readonly Difference[] {
    return [...this.#pending].map(([text, applied]) => ({ ...split(text), applied, wanted: this.#rules.get(text) ?? null }));
  }

  /** These differences are in force: what changed again meanwhile stays pending against the value just applied. */
  acknowledge(applied: readonly Difference[]): void {
    for (const { lane, prefix, wanted } of applied) {
      const text = key(lane, prefix);
      if ((this.#rules.get(text) ?? null) === wanted) this.#pending.delete(text);
      else this.#pending.set(text, wanted);
    }
  }

  /** Everything is in force: after a resync. */
  acknowledgeAll(): void {
    this.#pending.clear();
  }

  #setRule(text: string, expiresAt: number | null): void {
    const old = this.#rules.get(text) ?? null;
    if (old === expiresAt) return;
    const { lane, prefix } = split(text);
    if (old !== null) this.#digest.remove(ruleLine(lane, prefix, old));
    if (expiresAt !== null) this.#digest.add(ruleLine(lane, prefix, expiresAt));
    if (expiresAt === null) this.#rules.delete(text);
    else this.#rules.set(text, expiresAt);
    if (!this.#pending.has(text)) this.#pending.set(text, old);
    else if (this.#pending.get(text) === expiresAt) this.#pending.delete(text);
  }

  #dropTrust(target: string, id: string): void {
    const old = this.#trust.get(`${target} ${id}`);
    if (old === undefined) return;
    this.#digest.remove(trustLine(old));
    this.#trust.delete(`${target} ${id}`);
  }
}

const key = (lane: RuleLane, prefix: string): string => `${lane} ${prefix}`;

function split(text: string): { lane: RuleLane; prefix: string } {
  const at = text.indexOf(" ");
  return { lane: text.slice(0, at) as RuleLane, prefix: text.slice(at + 1) };
}
