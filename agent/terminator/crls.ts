import type { SmallTrust } from "./desired-trust.ts";

type Listed = ReturnType<SmallTrust["crls"]>[number];

/** CRLs as one PEM text: those that came over the feed, and those that are too large for it and were fetched. */
export class CrlTexts {
  readonly #fetched = new Map<string, { readonly sha256: string; readonly pem: string }>();

  /** What has to be fetched to have every CRL as new as told. */
  missing(crls: readonly Listed[]): readonly Listed[] {
    return crls.filter(({ id, sha256, pem }) => pem === null && this.#fetched.get(id)?.sha256 !== sha256);
  }

  keep(id: string, sha256: string, pem: string): void {
    this.#fetched.set(id, { sha256, pem });
  }

  /** The newest that there is of each; null when there is none at all. An older one is better than none: maps decide on what is newer. */
  text(crls: readonly Listed[]): string | null {
    const texts = crls.flatMap(({ id, pem }) => pem ?? this.#fetched.get(id)?.pem ?? []);
    return texts.length === 0 ? null : texts.join("");
  }
}
