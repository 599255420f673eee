import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFileAtomic } from "../../lib/file.ts";
import { fileOf } from "./folder.ts";
import type { InfrastructureGeneration } from "./infrastructure.ts";

/**
 * The anchor of an infrastructure CA (InfrastructureGeneration.makeAnchor), kept beside its certificate once it was made: a registry
 * whose key is kept elsewhere starts without asking for a signature. PEM.
 * @throws Problem signer_unavailable where it has to be made and cannot be
 */
export async function anchorOf(
  folder: string,
  { file, certificate }: { readonly file: string; readonly certificate: string },
  ca: Pick<InfrastructureGeneration, "makeAnchor">,
): Promise<string> {
  const path = fileOf(folder, file, "anchor");
  const kept = readAnchor(path, new X509Certificate(certificate));
  if (kept !== null) return kept;
  const made = await ca.makeAnchor();
  try {
    writeFileAtomic(path, made, 0o644);
  } catch {
    // Where the folder cannot be written it is made again the next time.
  }
  return made;
}

/** Null for what is not the CA itself: its name, its key, its life, signed by that key. */
function readAnchor(path: string, own: X509Certificate): string | null {
  try {
    const text = readFileSync(path, "utf8");
    const kept = new X509Certificate(text);
    const isOwn = kept.subject === own.subject && kept.issuer === own.subject && kept.validTo === own.validTo && kept.ca;
    return isOwn && kept.verify(own.publicKey) && kept.publicKey.equals(own.publicKey) ? text : null;
  } catch {
    return null;
  }
}
