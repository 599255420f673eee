import { type KeyObject, verify } from "node:crypto";
import { publicKeyFromRaw } from "./code.ts";
import { type Canonical, canonicalOf, type Submission } from "./submission.ts";

/** Keys, and right proofs, that are remembered; beyond them the one that came first makes room. */
export const MAX_REMEMBERED = 4_096;

/** What was signed, by whom it is said to be, and the signature in base64url. */
export interface Signed {
  readonly signer: string;
  readonly canonical: Canonical;
  readonly signature: string;
}

/**
 * Checks proofs, and remembers which were right: whether one is depends on nothing but key, bytes and signature, so that the same three
 * asked for again cost no second check. Whoever asks brings a key of its own finding and bytes of its own building;
 * only within one process is anything shared by that (docs/decisions/0025-one-check-of-one-proof.md).
 */
export class Proofs {
  readonly #keys = new Map<string, { readonly raw: string; readonly key: KeyObject }>();
  readonly #right = new Set<string>();

  /**
   * @param key base64url of the 32 raw bytes of an Ed25519 public key
   * @param signature base64url
   * @throws Problem submission_text | device_key
   */
  isRight(submission: Submission, key: string, signature: string): boolean {
    return this.isSignedRight({ signer: submission.signer, canonical: canonicalOf(submission), signature }, key);
  }

  /** As {@link Proofs.isRight}, of bytes that the caller built from the submission. @throws Problem device_key */
  isSignedRight({ signer, canonical, signature }: Signed, key: string): boolean {
    const named = nameOf(canonical, key, signature);
    if (this.#right.has(named)) return true;
    const right = verified(canonical.bytes, this.#keyOf(signer, key), signature);
    if (right) {
      makeRoom(this.#right);
      this.#right.add(named);
    }
    return right;
  }

  /** True when the proof was found right before; false says nothing. @throws Problem submission_text */
  isKnown(submission: Submission, key: string, signature: string): boolean {
    return this.#right.has(nameOf(canonicalOf(submission), key, signature));
  }

  /** Under the signer's name, so that one that is not there, with a key that stands in for its own, costs what one costs that is. */
  #keyOf(signer: string, raw: string): KeyObject {
    const held = this.#keys.get(signer);
    if (held?.raw === raw) return held.key;
    const key = publicKeyFromRaw(raw);
    makeRoom(this.#keys);
    this.#keys.set(signer, { raw, key });
    return key;
  }
}

function makeRoom(held: Map<string, unknown> | Set<string>): void {
  const [first] = held.keys();
  if (held.size >= MAX_REMEMBERED && first !== undefined) held.delete(first);
}

const nameOf = ({ digest }: Canonical, key: string, signature: string): string => `${key} ${signature} ${digest}`;

/** Handing one check to another thread and taking its answer back costs the event loop more than the check, unless cores are free. */
const verified = (bytes: Buffer, key: KeyObject, signature: string): boolean =>
  verify(null, bytes, key, Buffer.from(signature, "base64url"));
