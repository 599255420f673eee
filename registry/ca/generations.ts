import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/file.ts";
import { caId, makeIntermediate } from "./authority.ts";
import { fileOf, type IssuingKind, openIntermediate, openRoot, PkiError } from "./files.ts";
import { FILE_KEYS, type KeyStore, type Signer } from "./signer.ts";

/** One generation of the device CA, as it stands in the folder: "device" the first, "device-1a2b3c4d" every later one. */
export interface Generation {
  readonly id: string;
  /** Name of its files without their ends. */
  readonly file: string;
  /** PEM. */
  readonly certificate: string;
  readonly signer: Signer;
}

const CERTIFICATE = /^(device(?:-[0-9a-f]{8})?)\.crt$/;
const KEY = /^(device-[0-9a-f]{8})\.key$/;

/** Every generation whose key and certificate are there. @throws PkiError | KeyError when they do not fit together */
export function openGenerations(folder: string, keys: KeyStore = FILE_KEYS): Generation[] {
  const files = readdirSync(folder).flatMap((file) => CERTIFICATE.exec(file)?.[1] ?? []);
  return files.sort().map((file) => {
    const { certificate, signer } = openIntermediate(folder, file, keys);
    return { id: caId("device CA", signer.spki), file, certificate, signer };
  });
}

/**
 * Makes the next generation, signed by the root. Its key is written before its certificate: what is killed between leaves a key that
 * signed nothing, and goes the next time.
 * @throws PkiError when the root's key is not there | KeyError | Problem signer_unavailable
 */
export async function makeGeneration(
  folder: string,
  now: number,
  kind: IssuingKind = "P-256",
  keys: KeyStore = FILE_KEYS,
): Promise<Generation> {
  const rootKey = fileOf(folder, "root", "key");
  if (!existsSync(rootKey)) throw new PkiError(`Cannot sign a device CA without ${rootKey}: put the root's key back for it.`);
  for (const file of readdirSync(folder)) {
    const name = KEY.exec(file)?.[1];
    if (name !== undefined && !existsSync(fileOf(folder, name, "crt"))) rmSync(join(folder, file));
  }
  const { signer, pem } = await keys.make("device", folder, kind);
  const certificate = await makeIntermediate("device CA", openRoot(folder, keys), signer, now);
  const id = caId("device CA", signer.spki);
  if (existsSync(fileOf(folder, id, "crt"))) throw new PkiError(`Cannot make ${id}: there is one already.`);
  writeFileAtomic(fileOf(folder, id, "key"), pem, 0o600);
  writeFileAtomic(fileOf(folder, id, "crt"), certificate, 0o644);
  return { id, file: id, certificate, signer };
}

/** Takes a generation's key away, and then its certificate: a second time does nothing. */
export function removeGeneration(folder: string, { file }: Pick<Generation, "file">): void {
  rmSync(fileOf(folder, file, "key"), { force: true });
  rmSync(fileOf(folder, file, "crt"), { force: true });
}

/** When a CA's certificate ends, integer milliseconds. @param certificate PEM */
export const endOf = (certificate: string): number => Date.parse(new X509Certificate(certificate).validTo);
