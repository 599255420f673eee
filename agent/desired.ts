import { ruleLine, StateDigest, trustLine } from "../lib/feed/digest.ts";
import { FEED } from "../lib/feed/limits.ts";
import type { Change } from "../lib/feed/messages.ts";
import type { RuleLane } from "../lib/service.ts";
import type { Belief } from "./belief.ts";
import { PackedMap } from "./packed-map.ts";
import type { Counts } from "./room.ts";
import type { Difference, Differences } from "./target.ts";
import { type Entry, put, Tracked } from "./tracked.ts";
import { type HeldPending, type TrustEntry, type TrustRow, TrustState, trustKey } from "./trust.ts";

export type { TrustEntry } from "./trust.ts";
export interface Rule {
  readonly lane: RuleLane;
  readonly prefix: string;
  readonly expiresAt: number;
}

/** Differences for the targets, and those of what no target is handed: the disk holds both. */
export interface Pending extends Differences, HeldPending {
  readonly heldBack: readonly Difference[];
}

/** Up to this many differences are applied one by one; beyond it a target is resynced whole. */
export const MAX_DIFFERENCES = 50_000;

/** What this host admits at most, whatever the feed says (invariant 13): the widest prefix per family, and how many rules. */
export interface Ceiling {
  readonly widest4: number;
  readonly widest6: number;
  readonly rules: number;
}

const NO_CEILING: Ceiling = { widest4: 0, widest6: 0, rules: FEED.maxRules };

/**
 * What the registry wants at one revision, and how that differs from what the targets acknowledged.
 * Rules over the host's ceiling, too wide or too many, are held back: they count in the digest, so that it stays comparable,
 * and reach no target. When a rule ends, one that was too many takes its place. Trust that this host does not believe is held back alike.
 */
export class DesiredState {
  epoch: string | null = null;
  revision = 0;
  #ceiling: Ceiling;
  readonly #rules: Tracked<number>;
  readonly #heldBack = new Tracked<number>(new PackedMap());
  /** Keys of the rules that are held back for their number alone, the longest waiting first. */
  #tooMany = new Set<string>();
  readonly #trust: TrustState;
  #digest = new StateDigest();

  /**
   * @param belief what trust is believed; null believes all
   * @param back CRL numbers may go back: a local operator said so
   * @param rules how many are to be loaded: room is made for them at once
   */
  constructor(ceiling: Ceiling = NO_CEILING, belief: Belief | null = null, back = false, rules = 0) {
    this.#ceiling = ceiling;
    this.#rules = new Tracked<number>(new PackedMap(rules));
    this.#trust = new TrustState(belief, back);
  }

  get belief(): Belief | null {
    return this.#trust.belief;
  }

  /** PEM of the roots that are believed. */
  get roots(): readonly string[] {
    return this.#trust.roots;
  }

  /** Rules that targets are to hold. */
  get size(): number {
    return this.#rules.size;
  }

  /** Rules that are held back: too wide for this host, or over its number of rules. */
  get refused(): number {
    return this.#heldBack.size;
  }

  /** Of those, how many are held back for their number alone. */
  get tooMany(): number {
    return this.#tooMany.size;
  }

  /** Trust entries that the registry names, believed or not. */
  get trustSize(): number {
    return this.#trust.size;
  }

  /** Of those, how many are held back. */
  get trustRefused(): number {
    return this.#trust.refused;
  }

  /** Rules and trust entries by their target, held back or not. */
  get counts(): Counts {
    return { rules: this.#rules.size + this.#heldBack.size, trust: this.#trust.counts };
  }

  get digest(): string {
    return this.#digest.hex;
  }

  get pendingSize(): number {
    return this.#rules.pendingSize + this.#trust.pendingSize;
  }

  *rules(): Generator<Rule> {
    for (const [key, expiresAt] of this.#rules.entries()) yield { ...splitRule(key), expiresAt };
  }

  *heldBack(): Generator<Rule> {
    for (const [key, expiresAt] of this.#heldBack.entries()) yield { ...splitRule(key), expiresAt };
  }

  /** Trust that targets are to hold. */
  trust(): Generator<TrustEntry> {
    return this.#trust.believed();
  }

  /** CRLs that targets are to hold, of the CAs that the registry names. */
  lists(): Generator<{ readonly id: string; readonly body: string }> {
    return this.#trust.lists();
  }

  heldTrust(): Generator<TrustEntry> {
    return this.#trust.held();
  }

  /** These rows, each once, are all trust, believed or held back as each says. */
  isTrust(rows: Iterable<TrustRow>): boolean {
    return this.#trust.equals(rows);
  }

  /** Takes one change in; touches nothing outside. */
  change(change: Change): void {
    switch (change.kind) {
      case "rule.set":
        this.#setRule(change.lane, change.prefix, change.expiresAt, true);
        return;
      case "rule.remove":
        this.#setRule(change.lane, change.prefix, null, true);
        return;
      case "trust.set":
        this.#setTrust(change, change.body, true);
        return;
      case "trust.remove":
        this.#setTrust(change, null, true);
        return;
      default:
        change satisfies never;
    }
  }

  /** Takes a rule in without keeping a difference: for filling a new state that is adopted or resynced whole. */
  load({ lane, prefix, expiresAt }: Rule): void {
    this.#setRule(lane, prefix, expiresAt, false);
  }

  /** As {@link load}, for a trust entry. */
  loadTrust(entry: TrustEntry): void {
    this.#setTrust(entry, entry.body, false);
  }

  /** How many rules and trust entries, held back or not, there would be after these changes. */
  after(changes: readonly Change[]): Counts {
    const present = new Map<string, boolean>();
    let { rules } = this.counts;
    const trust = { ...this.counts.trust };
    for (const change of changes) {
      const isRule = change.kind === "rule.set" || change.kind === "rule.remove";
      const key = isRule ? ruleKey(change.lane, change.prefix) : trustKey(change.target, change.id);
      const known = isRule ? this.#rules.get(key) !== null || this.#heldBack.get(key) !== null : this.#trust.get(key) !== null;
      const wanted = change.kind === "rule.set" || change.kind === "trust.set";
      const growth = Number(wanted) - Number(present.get(key) ?? known);
      present.set(key, wanted);
      if (isRule) rules += growth;
      else trust[change.target] += growth;
    }
    return { rules, trust };
  }

  /** The differences at this moment; pass the same object to {@link acknowledge} once the targets have applied them. */
  pending(): Pending {
    return {
      rules: this.#rules.differences().map(ruleDifference),
      trust: this.#trust.differences(),
      heldBack: this.#heldBack.differences().map(ruleDifference),
      ...this.#trust.heldDifferences(),
    };
  }

  /** These differences are in force: what changed again meanwhile stays pending against the value just applied. */
  acknowledge({ rules, trust, heldBack, ...held }: Pending): void {
    this.#rules.acknowledge(rules.map(({ lane, prefix, wanted }) => ({ key: ruleKey(lane, prefix), wanted })));
    this.#trust.acknowledge(trust, held);
    this.#heldBack.acknowledge(heldBack.map(({ lane, prefix, wanted }) => ({ key: ruleKey(lane, prefix), wanted })));
  }

  /** Everything is in force: right after a resync from exactly this state. */
  acknowledgeAll(): void {
    for (const tracked of [this.#rules, this.#trust, this.#heldBack]) tracked.acknowledgeAll();
  }

  /**
   * Becomes `next` (a snapshot, filled by {@link load}; it must not be used afterwards), keeping what differs from what is applied.
   * What is held back is not kept apart: a state that was replaced is saved whole.
   * @returns false when more than `mostDifferences` rules or trust entries differ: then none are kept and every target needs a resync
   */
  adopt(next: DesiredState, mostDifferences = MAX_DIFFERENCES): boolean {
    const rulesKept = this.#rules.adopt(next.#rules, mostDifferences);
    const trustKept = this.#trust.adopt(next.#trust, mostDifferences);
    this.#heldBack.adopt(next.#heldBack, 0);
    this.#heldBack.acknowledgeAll();
    this.#ceiling = next.#ceiling;
    this.epoch = next.epoch;
    this.revision = next.revision;
    this.#tooMany = next.#tooMany;
    this.#digest = next.#digest;
    if (rulesKept && trustKept) return true;
    this.acknowledgeAll();
    return false;
  }

  /** The same state under another ceiling and belief, to be adopted. */
  under(ceiling: Ceiling, belief: Belief | null): DesiredState {
    const next = new DesiredState(ceiling, belief, false, this.#rules.size);
    next.epoch = this.epoch;
    next.revision = this.revision;
    for (const rule of this.rules()) next.load(rule);
    for (const rule of this.heldBack()) next.load(rule);
    for (const entry of this.trust()) next.loadTrust(entry);
    for (const entry of this.heldTrust()) next.loadTrust(entry);
    return next;
  }

  #setRule(lane: RuleLane, prefix: string, expiresAt: number | null, track: boolean): void {
    const key = ruleKey(lane, prefix);
    const held = this.#heldBack.get(key);
    const old = held ?? this.#rules.get(key);
    if (old === expiresAt) return;
    if (old !== null) this.#digest.remove(ruleLine(lane, prefix, old));
    if (expiresAt !== null) this.#digest.add(ruleLine(lane, prefix, expiresAt));
    if (held !== null) {
      if (expiresAt === null) this.#tooMany.delete(key);
      put(this.#heldBack, key, expiresAt, track);
    } else if (old !== null) {
      put(this.#rules, key, expiresAt, track);
      if (expiresAt === null) this.#admitNext(track);
    } else if (!this.#narrowEnough(prefix)) put(this.#heldBack, key, expiresAt, track);
    else if (this.#rules.size < this.#ceiling.rules) put(this.#rules, key, expiresAt, track);
    else {
      this.#tooMany.add(key);
      put(this.#heldBack, key, expiresAt, track);
    }
  }

  #admitNext(track: boolean): void {
    const { value: key } = this.#tooMany.values().next();
    if (key === undefined) return;
    const expiresAt = this.#heldBack.get(key);
    this.#tooMany.delete(key);
    put(this.#heldBack, key, null, track);
    put(this.#rules, key, expiresAt, track);
  }

  #narrowEnough(prefix: string): boolean {
    const length = Number(prefix.slice(prefix.indexOf("/") + 1));
    return length >= (prefix.includes(":") ? this.#ceiling.widest6 : this.#ceiling.widest4);
  }

  #setTrust({ target, id }: Pick<TrustEntry, "target" | "id">, body: string | null, live: boolean): void {
    const old = this.#trust.set(target, id, body, live);
    if (old === body) return;
    if (old !== null) this.#digest.remove(trustLine({ kind: "trust.set", target, id, body: old }));
    if (body !== null) this.#digest.add(trustLine({ kind: "trust.set", target, id, body }));
  }
}

const ruleKey = (lane: RuleLane, prefix: string): string => `${lane} ${prefix}`;
const ruleDifference = ({ key, ...rest }: Entry<number>): Difference => ({ ...splitRule(key), ...rest });

function splitRule(key: string): { lane: RuleLane; prefix: string } {
  const at = key.indexOf(" ");
  return { lane: key.slice(0, at) as RuleLane, prefix: key.slice(at + 1) };
}
