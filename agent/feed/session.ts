import { FEED } from "../../lib/feed/limits.ts";
import type { Change, ServerMessage } from "../../lib/feed/messages.ts";
import { type Ceiling, DesiredState } from "../desired.ts";
import { tooMuch } from "../room.ts";
import { checkedRule } from "../rule.ts";
import type { RegistryTime } from "../time.ts";

/** The registry said something that this agent must not follow. `forget`: what is held cannot be built upon, ask for a snapshot. */
export class FeedRefusedError extends Error {
  readonly forget: boolean;

  constructor(message: string, options: { forget?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "FeedRefusedError";
    this.forget = options.forget ?? false;
  }
}

/** What a message did to the desired state: nothing, changes on top, or a replacement whose differences are known (`kept`) or not. */
export type Effect = { readonly kind: "none" } | { readonly kind: "changed" } | { readonly kind: "replaced"; readonly kept: boolean };

const NONE: Effect = { kind: "none" };
const CHANGED: Effect = { kind: "changed" };

/**
 * One connection's view: takes messages in order and moves the desired state. Pure but for the state it is given.
 * The agent does not believe the feed without limit (invariant 13): epoch and revision never go back, rules have a ceiling.
 */
export class FeedSession {
  readonly #desired: DesiredState;
  readonly #time: RegistryTime;
  readonly #ceiling: Ceiling;
  readonly #forgets: boolean;
  readonly #accepted: string | null;
  #incoming: { readonly state: DesiredState; readonly rules: number; readonly trust: number } | null = null;
  /** The registry's epoch; null before welcome. */
  #epoch: string | null = null;
  #ahead = false;
  /** The state that is held is this registry's: changes may go on top, and its digest must be the registry's. */
  #inStep = false;

  /**
   * @param options.forgets the registry is asked for a snapshot, because what is held cannot be built upon
   * @param options.accepted epoch of which a local operator said that its snapshot is to be taken, whatever is held
   */
  constructor(
    desired: DesiredState,
    time: RegistryTime,
    ceiling: Ceiling,
    options: { readonly forgets?: boolean; readonly accepted?: string | null } = {},
  ) {
    this.#forgets = options.forgets ?? false;
    this.#accepted = options.accepted ?? null;
    this.#desired = desired;
    this.#time = time;
    this.#ceiling = ceiling;
  }

  /** The registry's history lacks what is held: nothing of it is followed on this connection. */
  get ahead(): boolean {
    return this.#ahead;
  }

  /** @throws FeedRefusedError when the message must not be followed; the desired state is then as it was */
  handle(message: ServerMessage): Effect {
    if (this.#epoch === null && message.type !== "welcome") throw new FeedRefusedError(`'${message.type}' came before welcome`);
    switch (message.type) {
      case "welcome":
        if (this.#epoch !== null) throw new FeedRefusedError("A second welcome came");
        this.#epoch = message.epoch;
        this.#ahead = message.epoch !== this.#accepted && this.#desired.epoch !== null && message.epoch < this.#desired.epoch;
        this.#inStep = message.epoch === this.#desired.epoch && !this.#forgets;
        this.#time.observe(message.time);
        return NONE;
      case "snapshot.begin":
        return this.#begin(message);
      case "snapshot.chunk":
        return this.#chunk(message);
      case "snapshot.end":
        this.#time.observe(message.time);
        return this.#end(message);
      case "changes":
        this.#time.observe(message.time);
        return this.#changes(message.from, message.changes);
      case "heartbeat":
        this.#time.observe(message.time);
        // While a snapshot is on its way what is held may differ, and is about to be replaced.
        if (this.#inStep && message.revision === this.#desired.revision && message.digest !== this.#desired.digest) {
          throw new FeedRefusedError(`Digest of revision ${message.revision} is ${this.#desired.digest} here and ${message.digest} there`, {
            forget: true,
          });
        }
        return NONE;
      case "ahead":
        this.#ahead = true;
        this.#inStep = false;
        return NONE;
      case "restart":
      case "renew":
        return NONE;
      default:
        return message satisfies never;
    }
  }

  /** Epochs are ordered text: a later one is an operator's act at the registry, an earlier one is a registry from the past. */
  #checkEpoch(epoch: string): void {
    if (this.#desired.epoch !== null && epoch < this.#desired.epoch) {
      throw new FeedRefusedError(`Cannot go back from epoch ${this.#desired.epoch} to ${epoch}`);
    }
  }

  #begin(message: Extract<ServerMessage, { type: "snapshot.begin" }>): Effect {
    const accepted = message.epoch === this.#accepted;
    if (!accepted) this.#checkEpoch(message.epoch);
    if (!accepted && message.epoch === this.#desired.epoch && message.revision < this.#desired.revision) {
      throw new FeedRefusedError(`Cannot go back from revision ${this.#desired.revision} to ${message.revision}`);
    }
    if (message.trust > FEED.maxTrust)
      throw new FeedRefusedError(`A snapshot of ${message.trust} trust entries is more than any host takes`);
    if (this.#ahead || message.epoch !== this.#epoch) throw new FeedRefusedError("A snapshot came that was not to be expected");
    this.#inStep = false;
    const state = new DesiredState(this.#ceiling, this.#desired.belief, accepted, message.rules);
    state.epoch = message.epoch;
    state.revision = message.revision;
    this.#incoming = { state, rules: message.rules, trust: message.trust };
    return NONE;
  }

  #chunk(message: Extract<ServerMessage, { type: "snapshot.chunk" }>): Effect {
    const incoming = this.#incoming;
    if (incoming === null) throw new FeedRefusedError("A snapshot chunk came outside a snapshot");
    const { state } = incoming;
    for (const [lane, prefix, expiresAt] of message.rules) state.load(this.#checked(lane, prefix, expiresAt));
    for (const entry of message.trust) state.loadTrust(entry);
    if (state.size + state.refused > incoming.rules || state.trustSize > incoming.trust) {
      throw new FeedRefusedError("A snapshot is longer than it announced");
    }
    const excess = tooMuch(state.counts);
    if (excess !== null) throw new FeedRefusedError(`A snapshot holds ${excess}, more than any host takes`);
    return NONE;
  }

  #end(message: Extract<ServerMessage, { type: "snapshot.end" }>): Effect {
    const incoming = this.#incoming;
    if (incoming === null) throw new FeedRefusedError("A snapshot ended that had not begun");
    this.#incoming = null;
    const { state } = incoming;
    const whole = state.size + state.refused === incoming.rules && state.trustSize === incoming.trust;
    if (!whole || state.revision !== message.revision || state.digest !== message.digest) {
      throw new FeedRefusedError(`Snapshot of revision ${message.revision} does not add up to its digest`, { forget: true });
    }
    this.#inStep = true;
    return { kind: "replaced", kept: this.#desired.adopt(state) };
  }

  #changes(from: number, changes: readonly Change[]): Effect {
    if (this.#incoming !== null) throw new FeedRefusedError("Changes came inside a snapshot");
    if (!this.#inStep) throw new FeedRefusedError("Changes came to a state that they do not belong to");
    if (from !== this.#desired.revision + 1) throw new FeedRefusedError(`Changes begin at ${from}, held is ${this.#desired.revision}`);
    // All are checked before the first is taken in: a message counts whole or not at all.
    for (const change of changes) if (change.kind === "rule.set") this.#checked(change.lane, change.prefix, change.expiresAt);
    this.#checkRoom(changes);
    for (const change of changes) this.#desired.change(change);
    this.#desired.revision += changes.length;
    return CHANGED;
  }

  /** The host's own ceiling holds rules back one by one; this bounds memory. What does not grow passes: a removal is never held up. */
  #checkRoom(changes: readonly Change[]): void {
    const excess = tooMuch(this.#desired.after(changes), this.#desired.counts);
    if (excess !== null) throw new FeedRefusedError(`Changes lead to ${excess}, more than any host takes`);
  }

  #checked(lane: string, prefix: string, expiresAt: number) {
    try {
      return checkedRule(lane, prefix, expiresAt);
    } catch (cause) {
      throw new FeedRefusedError("A rule does not fit", { cause });
    }
  }
}
