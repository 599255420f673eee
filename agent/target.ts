import type { TrustTarget } from "../lib/feed/messages.ts";
import type { DesiredState } from "./desired.ts";

/** One place that desired state is brought to: the nftables sets, later the terminator's trust. The list of targets is the order of effects. */
export interface Target {
  readonly name: string;
  /** Rules are none of its business: none are kept for it. */
  readonly trustAlone: boolean;
  /** Makes reality equal to the desired state whatever it was before. Rejects when it could not; reality is then closed or as it was. */
  resync(desired: DesiredState, signal: AbortSignal): Promise<void>;
  /**
   * Brings reality from the last acknowledged state to the desired one by the pending differences alone.
   * Rejects when it could not; nothing of it then counts as done, and the reconciler resyncs.
   */
  apply(desired: DesiredState, pending: Differences, signal: AbortSignal): Promise<void>;
}

/** What differs from what was acknowledged. A target takes what is its own and leaves the rest. */
export interface Differences {
  readonly rules: readonly Difference[];
  readonly trust: readonly TrustDifference[];
}

/** One rule that differs from what was acknowledged. Times are integer ms of registry time; null is absent. */
export interface Difference {
  readonly lane: "ip" | "ipcert";
  /** Canonical prefix text, "203.0.113.7/32". */
  readonly prefix: string;
  readonly applied: number | null;
  readonly wanted: number | null;
}

/** One trust entry that differs from what was acknowledged. Its body is for its target to read; null is absent. */
export interface TrustDifference {
  readonly target: TrustTarget;
  readonly id: string;
  readonly applied: string | null;
  readonly wanted: string | null;
}

/** One open TCP connection of a device, by its client's end. */
export interface Flow {
  readonly family: 4 | 6;
  /** Canonical. */
  readonly address: string;
  readonly port: number;
}

/** Ends flows at the firewall, both ways and at once. */
export type Cut = (flows: readonly Flow[], signal: AbortSignal) => Promise<void>;
