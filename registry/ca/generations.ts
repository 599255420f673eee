import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { sweepTemporaries, writeFileAtomic } from "../../lib/file.ts";
import { type CaKind, caId, crossId, issuedFacts, makeCross, makeRoot, ROLES } from "./authority.ts";
import type { Issuer } from "./certificate.ts";
import { certify } from "./certify.ts";
import { fileOf, generationFiles, type IssuingKind, PkiError, readPem } from "./folder.ts";
import { issuerOf } from "./issuer-of.ts";
import { isKeyReference } from "./key-reference.ts";
import { makeRootCrl } from "./root-crl.ts";
import { FILE_KEYS, type KeyStore, loadSigner, type Signer } from "./signer.ts";

/** One generation of a CA, as it stands in the folder: "device" the first, "device-1a2b3c4d" every later one. */
export interface Generation {
  readonly id: string;
  readonly kind: CaKind;
  /** Name of its files without their ends. */
  readonly file: string;
  /** PEM. */
  readonly certificate: string;
  /** Null of a root whose key is kept elsewhere. */
  readonly signer: Signer | null;
}

/** One root's name and key, signed by another. */
export interface Cross {
  /** "cross-1a2b3c4d". */
  readonly id: string;
  /** PEM. */
  readonly certificate: string;
  /** Common names of the two roots. */
  readonly subject: string;
  readonly issuer: string;
}

const CROSS = /^cross-[0-9a-f]{8}\.crt$/;
/** What stands beside the certificates of later generations: without those it signed nothing, or has ended. */
const BESIDE = /^((?:root|infrastructure|device)-[0-9a-f]{8})\.(?:key|crl|anchor)$/;

/** Every generation whose certificate is there. @throws PkiError | KeyError when files do not fit together */
export function openGenerations(folder: string, kind: CaKind, keys: KeyStore = FILE_KEYS): Generation[] {
  return generationFiles(folder, kind).map((file) => {
    if (kind === "root") return openRoot(folder, file, keys);
    const { certificate, signer } = openIntermediate(folder, file, keys);
    return { id: caId(ROLES[kind], signer.spki), kind, file, certificate, signer };
  });
}

/** A CA below a root whose key, certificate and root fit together. @throws PkiError | KeyError */
function openIntermediate(folder: string, name: string, keys: KeyStore): { readonly certificate: string; readonly signer: Signer } {
  const roots = generationFiles(folder, "root");
  // Without any, it is the first one that is missing.
  const tops = (roots.length === 0 ? ["root"] : roots).map((file) => new X509Certificate(readPem(fileOf(folder, file, "crt"))));
  const certificate = readPem(fileOf(folder, name, "crt"));
  const signer = loadSigner(fileOf(folder, name, "key"), keys);
  const own = new X509Certificate(certificate);
  if (!tops.some((top) => own.verify(top.publicKey)))
    throw new PkiError(`Cannot use ${folder}: ${name}.crt is not signed by ${roots.map((file) => `${file}.crt`).join(" or ")}.`);
  if (!own.publicKey.export({ type: "spki", format: "der" }).equals(signer.spki))
    throw new PkiError(`Cannot use ${folder}: ${name}.key is not the key of ${name}.crt.`);
  return { certificate, signer };
}

/** A root with its key where that is there. @throws PkiError | KeyError */
export function openRoot(folder: string, file: string, keys: KeyStore = FILE_KEYS): Generation {
  const certificate = readPem(fileOf(folder, file, "crt"));
  const spki = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
  const key = fileOf(folder, file, "key");
  const signer = existsSync(key) ? loadSigner(key, keys) : null;
  if (signer !== null && !signer.spki.equals(spki)) throw new PkiError(`Cannot use ${folder}: ${file}.key is not the key of ${file}.crt.`);
  return { id: caId("root", spki), kind: "root", file, certificate, signer };
}

/** A root that can sign, named as its certificate names it; null where its key is away. @throws PkiError | KeyError */
export function openIssuingRoot(
  folder: string,
  file: string,
  keys: KeyStore,
): { readonly file: string; readonly certificate: string; readonly issuer: Issuer } | null {
  const { certificate, signer } = openRoot(folder, file, keys);
  return signer === null ? null : { file, certificate, issuer: issuerOf(certificate, signer) };
}

/** Cross certificates between roots that are both there. @throws PkiError */
export function openCrosses(folder: string, roots: readonly Pick<Generation, "certificate">[]): Cross[] {
  const names = new Set(roots.map(({ certificate }) => issuedFacts(certificate).subject));
  const files = readdirSync(folder).filter((file) => CROSS.test(file));
  return files.sort().flatMap((file) => {
    const certificate = readPem(join(folder, file));
    const { subject, issuer } = issuedFacts(certificate);
    return names.has(subject) && names.has(issuer) ? [{ id: crossId(certificate), certificate, subject, issuer }] : [];
  });
}

interface Making {
  /** The root that signs. */
  readonly root: Generation;
  readonly now: number;
  readonly kind?: IssuingKind;
  /** Where its key is made. */
  readonly keys?: KeyStore;
}

/**
 * Makes the next generation of a CA, signed by the root; of the root itself, cross-signed both ways. The certificate is written last:
 * what is killed before leaves files that are nothing yet, and go the next time.
 * @throws PkiError when the root's key is not there | KeyError | Problem signer_unavailable
 */
export async function makeGeneration(
  folder: string,
  ca: CaKind,
  { root, now, kind = "P-256", keys = FILE_KEYS }: Making,
): Promise<Generation> {
  if (root.signer === null) {
    const what = ca === "root" ? "the next root" : ca === "device" ? "a device CA" : "an infrastructure CA";
    throw new PkiError(`Cannot sign ${what} without ${fileOf(folder, root.file, "key")}: put the root's key back for it.`);
  }
  sweepFiles(folder);
  const { signer, pem } = await keys.make(ca, folder, kind);
  const id = caId(ROLES[ca], signer.spki);
  if (existsSync(fileOf(folder, id, "crt"))) throw new PkiError(`Cannot make ${id}: there is one already.`);
  const top = issuerOf(root.certificate, root.signer);
  const certificate =
    ca === "root" ? await makeRoot(signer, now) : await certify(ROLES[ca], { certificate: root.certificate, issuer: top }, { signer, now });
  const beside = ca === "root" ? await besideRoot(issuerOf(certificate, signer), top, now, issuedFacts(root.certificate).notAfter) : null;
  writeFileAtomic(fileOf(folder, id, "key"), pem, 0o600);
  if (beside !== null) {
    writeFileAtomic(fileOf(folder, id, "crl"), beside.crl, 0o644);
    for (const cross of beside.crosses) writeFileAtomic(fileOf(folder, crossId(cross), "crt"), cross, 0o644);
  }
  writeFileAtomic(fileOf(folder, id, "crt"), certificate, 0o644);
  return { id, kind: ca, file: id, certificate, signer };
}

/** What a new root needs from the start: its list, and both cross certificates, which last as long as the root before. */
async function besideRoot(next: Issuer, before: Issuer, now: number, notAfter: number) {
  const crosses = [await makeCross(before, next, now, notAfter), await makeCross(next, before, now, notAfter)];
  return { crl: await makeRootCrl(next, now), crosses };
}

/**
 * Takes a generation's files away; a second time does nothing. A root's certificate goes last, since it opens without its key; of the
 * others it goes first, since they do not.
 */
export function removeGeneration(folder: string, { file, kind }: Pick<Generation, "file" | "kind">): void {
  const ends = kind === "root" ? (["key", "crl", "crt"] as const) : (["crt", "key", "anchor"] as const);
  for (const end of ends) rmSync(fileOf(folder, file, end), { force: true });
  sweepFiles(folder);
}

/**
 * Takes away what is left of generations that were half made or half removed: keys and lists without their certificate, cross certificates
 * without a root, files that were not written to their end. A root's own key is never swept: it may be all that is left. Only for the one
 * program that makes generations in that folder.
 */
export function sweepFiles(folder: string): void {
  sweepTemporaries(folder);
  for (const file of readdirSync(folder)) {
    const name = BESIDE.exec(file)?.[1];
    if (name !== undefined && !existsSync(fileOf(folder, name, "crt")) && !isRootKey(join(folder, file))) rmSync(join(folder, file));
  }
  const roots = generationFiles(folder, "root").map((file) => ({ certificate: readFileSync(fileOf(folder, file, "crt"), "utf8") }));
  const kept = new Set(openCrosses(folder, roots).map(({ id }) => `${id}.crt`));
  for (const file of readdirSync(folder)) if (CROSS.test(file) && !kept.has(file)) rmSync(join(folder, file));
}

/** The name of a key that is kept elsewhere is none: left there, it would say that the key was used, and no rotation took it again. */
const isRootKey = (path: string): boolean => /^root.*\.key$/.test(basename(path)) && !isKeyReference(readFileSync(path, "utf8"));
