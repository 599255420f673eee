import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { decodePem } from "../../lib/pem.ts";
import { revokedSerials } from "./crl-serials.ts";
import type { SmallTrust } from "./desired-trust.ts";
import type { Layout } from "./layout.ts";
import type { TerminatorOptions } from "./settings.ts";

/** Most characters of fetched lists that are kept at a time: of two million revoked certificates and more. */
const MAX_FETCHED = 128 << 20;
/** A list in a file as {@link CrlTexts.text} makes it: whatever stands between PEM blocks is passed over by those who read them. */
const NAMED = /^(\S+)\n(-----BEGIN X509 CRL-----\n[^-]+-----END X509 CRL-----\n)/gm;

type Listed = ReturnType<SmallTrust["crls"]>[number];

/** CRLs as one PEM text: those that came over the feed, and those that are too large for it and were fetched. */
export class CrlTexts {
  readonly #fetched = new Map<string, { readonly sha256: string; readonly pem: string }>();

  /** What has to be fetched to have every CRL as new as told. */
  missing(crls: readonly Listed[]): readonly Listed[] {
    return crls.filter(({ id, sha256, pem }) => pem === null && this.#fetched.get(id)?.sha256 !== sha256);
  }

  /**
   * What was fetched before this program started: the registry may be away, and a list that is missing may shut everybody out. So would
   * one that was damaged in the file: it counts as missing.
   * @param last the generation that the terminator reads; null when there is none
   */
  recall(crls: readonly Listed[], last: Pick<Layout, "revocations"> | null): void {
    const unknown = new Set(this.missing(crls).flatMap(({ id }) => (this.#fetched.has(id) ? [] : [id])));
    if (last === null || unknown.size === 0) return;
    for (const [, id = "", pem = ""] of readIfThere(last.revocations).matchAll(NAMED)) {
      const der = unknown.has(id) ? decodePem("X509 CRL", pem) : null;
      if (der !== null && isCrl(der)) this.#fetched.set(id, { sha256: hash("sha256", der), pem });
    }
  }

  /**
   * Keeps a list that was fetched, and forgets those that are not named any more.
   * @throws RangeError when there is no room beside the others: the earlier one of that CA stays
   */
  keep(crls: readonly Listed[], id: string, sha256: string, pem: string, most = MAX_FETCHED): void {
    for (const known of this.#fetched.keys()) if (!crls.some((crl) => crl.id === known && crl.pem === null)) this.#fetched.delete(known);
    let length = pem.length;
    for (const [known, fetched] of this.#fetched) if (known !== id) length += fetched.pem.length;
    if (length > most)
      throw new RangeError(`Cannot keep the list of ${id}: with it lists have ${length} characters, at most ${most} are kept`);
    this.#fetched.set(id, { sha256, pem });
  }

  /** Fetches what is missing. @param crls asked again after each: what is named may change meanwhile */
  async fetch(crls: () => readonly Listed[], fetchCrl: TerminatorOptions["fetchCrl"], signal: AbortSignal): Promise<void> {
    for (const { id, sha256 } of this.missing(crls())) {
      const pem = await fetchCrl(id, sha256, signal);
      this.keep(crls(), id, sha256, pem);
    }
  }

  /** PEM of each, as {@link text} has them. */
  each(crls: readonly Listed[]): { readonly id: string; readonly pem: string }[] {
    return crls.flatMap(({ id, pem }) => {
      const own = pem ?? this.#fetched.get(id)?.pem;
      return own === undefined ? [] : [{ id, pem: own }];
    });
  }

  /** The newest that there is of each; null when there is none at all. An older one is better than none: maps decide on what is newer. */
  text(crls: readonly Listed[]): string | null {
    const texts = this.each(crls).map(({ id, pem }) => `${id}\n${pem}`);
    return texts.length === 0 ? null : texts.join("");
  }
}

function isCrl(der: Buffer): boolean {
  try {
    revokedSerials(der);
    return true;
  } catch {
    return false;
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
