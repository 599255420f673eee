import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CaKind } from "./authority.ts";

/**
 * The folder of PEM files below the registry's state: NAME.key (0600) and NAME.crt for root, infrastructure, device, register and
 * control, and root.crl, so that the root's key may be kept elsewhere. Later generations of a CA have its id as their name, roots have
 * cross-1a2b3c4d.crt beside them. An infrastructure CA has its anchor beside it
 * (anchor.ts). A CA's key file may name a key of a key service instead (key-reference.ts). A key is written before its certificate, each whole, so that whatever is missing after a crash is made
 * again from what is there.
 */
export const fileOf = (folder: string, name: string, kind: "key" | "crt" | "crl" | "anchor"): string => join(folder, `${name}.${kind}`);

/** The files of the CAs do not fit together, or are missing: an operator has to look. */
export class PkiError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PkiError";
  }
}

export type IssuingKind = "P-256" | "P-384";

const CERTIFICATE = /^((root|infrastructure|device)(?:-[0-9a-f]{8})?)\.crt$/;

/** Names of the files of every generation of one kind, the first one first; none where there is no folder. */
export const generationFiles = (folder: string, kind: CaKind): readonly string[] =>
  (existsSync(folder) ? readdirSync(folder) : [])
    .flatMap((file) => {
      const match = CERTIFICATE.exec(file);
      return match?.[2] === kind ? [match[1] ?? ""] : [];
    })
    .sort();

/** The text of a file that begins with a certificate. @throws PkiError */
export function readPem(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new PkiError(`Cannot use ${file} as a certificate: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
