import { hash } from "node:crypto";
import type { Change } from "./messages.ts";

/**
 * Digest of a state: the sum mod 2^128 of the first 16 bytes of SHA-256 of each entry's line. Order does not matter,
 * and one change costs one addition and one subtraction, so agent and registry keep it at any size.
 */
export class StateDigest {
  #sum: bigint;

  /** @param hex 32 lower-case hex digits, as from {@link StateDigest.hex}; nothing is the empty state */
  constructor(hex = "0".repeat(32)) {
    this.#sum = BigInt(`0x${hex}`);
  }

  add(line: string): void {
    this.#sum = (this.#sum + term(line)) & MASK;
  }

  remove(line: string): void {
    this.#sum = (this.#sum - term(line)) & MASK;
  }

  get hex(): string {
    return this.#sum.toString(16).padStart(32, "0");
  }
}

const MASK = (1n << 128n) - 1n;
const term = (line: string): bigint => BigInt(`0x${hash("sha256", line).slice(0, 32)}`);

/** An IP rule's line in the digest. */
export const ruleLine = (lane: string, prefix: string, expiresAt: number): string => `rule ${lane} ${prefix} ${expiresAt}`;

/** A trust entry's line in the digest. */
export const trustLine = (change: Extract<Change, { kind: "trust.set" }>): string =>
  `trust ${change.target} ${change.id} ${hash("sha256", change.body)}`;
