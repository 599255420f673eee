import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isKeyReference, type KeyReference, readKeyReference } from "./key-reference.ts";

/** Names of the CAs' key files in the folder. */
export const CA_KEY = /^(root|infrastructure|device)(-[0-9a-f]{8})?\.key$/;

/** What the folder's files name of keys that are kept elsewhere, in the order of the files. @throws KeyError */
export function referencesIn(folder: string): readonly (KeyReference & { readonly file: string })[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((file) => CA_KEY.test(file));
  return files.sort().flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8");
    return isKeyReference(text) ? [{ file, ...readKeyReference(text) }] : [];
  });
}
