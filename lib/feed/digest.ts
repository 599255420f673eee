import { hash } from "node:crypto";
import type { Change } from "./messages.ts";

/** 16-bit words of a sum: 2^37 of them can be added up before they are brought back into their bounds. */
const WORDS = 8;
const WORD = 1 << 16;

/**
 * Digest of a state: the sum mod 2^128 of the first 16 bytes of SHA-256 of each entry's line. Order does not matter,
 * and one change costs one addition and one subtraction, so agent and registry keep it at any size.
 */
export class StateDigest {
  /** Highest first. Each is added to by itself; carries are made when somebody asks. */
  readonly #words: Float64Array;

  /** @param hex 32 lower-case hex digits, as from {@link StateDigest.hex}; nothing is the empty state */
  constructor(hex = "0".repeat(32)) {
    this.#words = Float64Array.from({ length: WORDS }, (_, i) => Number.parseInt(hex.slice(i * 4, i * 4 + 4), 16));
  }

  add(line: string): void {
    this.#count(line, 1);
  }

  remove(line: string): void {
    this.#count(line, -1);
  }

  get hex(): string {
    let carry = 0;
    for (let i = WORDS - 1; i >= 0; i--) {
      const sum = (this.#words[i] as number) + carry;
      carry = Math.floor(sum / WORD);
      this.#words[i] = sum - carry * WORD;
    }
    return Array.from(this.#words, (word) => word.toString(16).padStart(4, "0")).join("");
  }

  #count(line: string, sign: 1 | -1): void {
    // One byte a character: half the time of hex text and a big integer (measured).
    const term = hash("sha256", line, "binary");
    for (let i = 0; i < WORDS; i++) {
      this.#words[i] = (this.#words[i] as number) + sign * ((term.charCodeAt(2 * i) << 8) | term.charCodeAt(2 * i + 1));
    }
  }
}

/** An IP rule's line in the digest. */
export const ruleLine = (lane: string, prefix: string, expiresAt: number): string => `rule ${lane} ${prefix} ${expiresAt}`;

/** A trust entry's line in the digest. */
export const trustLine = (change: Extract<Change, { kind: "trust.set" }>): string =>
  `trust ${change.target} ${change.id} ${hash("sha256", change.body)}`;
