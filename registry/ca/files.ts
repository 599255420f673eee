import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { parseAddress } from "../../lib/ip.ts";
import { URN } from "../../lib/service.ts";
import { makeIntermediate, makeRoot } from "./authority.ts";
import type { Issuer } from "./certificate.ts";
import { serverName } from "./extensions.ts";
import { createInfrastructureCa, type InfrastructureCa, LIFE_MS } from "./infrastructure.ts";
import { issuerOf } from "./issuer-of.ts";
import { CA_KEY } from "./keys.ts";
import { makeRootCrl, rootCrlIsDue } from "./root-crl.ts";
import { encryptedPem, FILE_KEYS, generateKey, type KeyStore, loadSigner, type NewKey, readPassphrase, type Signer } from "./signer.ts";

/**
 * The folder of PEM files below the registry's state: NAME.key (0600) and NAME.crt for root, infrastructure, device, register and
 * control, and root.crl, so that the root's key may be kept elsewhere. A CA's key file may name a key of a key service instead (key-reference.ts). A key is written before its certificate, each whole, so that whatever is missing after a crash is made again from what is there.
 */
export const fileOf = (folder: string, name: string, kind: "key" | "crt" | "crl"): string => join(folder, `${name}.${kind}`);

/** The files of the CAs do not fit together, or are missing: an operator has to look. */
export class PkiError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PkiError";
  }
}

/**
 * Makes root, infrastructure CA and device CA where they are missing, and the root's CRL when half of its life is over; what is there
 * stays as it is.
 * @param kind of keys that are made for the CAs below the root
 * @param keys where new ones are made
 * @returns the files that were made
 * @throws PkiError when the root's key is needed and is not there | KeyError | Problem signer_unavailable
 */
export async function makePki(
  folder: string,
  now: number,
  kind: IssuingKind = "P-256",
  keys: KeyStore = FILE_KEYS,
): Promise<readonly string[]> {
  makePrivateFolder(folder);
  const made: string[] = [];
  encryptKeys(folder, made);
  const root = fileOf(folder, "root", "crt");
  const below = (Object.keys(INTERMEDIATES) as (keyof typeof INTERMEDIATES)[]).map((name) => [name, fileOf(folder, name, "crt")] as const);
  if (!existsSync(root)) {
    if (below.some(([, file]) => existsSync(file))) throw new PkiError(`Cannot go on without ${root}: put the root certificate back.`);
    const signer = await caKeyFor(folder, "root", made, "P-256", keys);
    write(root, await makeRoot(signer, now), made);
  }
  const rootKey = fileOf(folder, "root", "key");
  for (const [name, file] of below) {
    if (existsSync(file)) continue;
    if (!existsSync(rootKey))
      throw new PkiError(`Cannot sign ${INTERMEDIATES[name].article} without ${rootKey}: put the root's key back for it.`);
    const signer = await caKeyFor(folder, name, made, kind, keys);
    write(file, await makeIntermediate(INTERMEDIATES[name].role, openRoot(folder, keys), signer, now), made);
  }
  if (existsSync(rootKey) && rootCrlIsDue(folder, now)) {
    const file = fileOf(folder, "root", "crl");
    writeFileAtomic(file, await makeRootCrl(openRoot(folder, keys), now), 0o644);
    made.push(file);
  }
  return made;
}

/** Encrypts the CAs' keys that are plain although there is a passphrase. */
function encryptKeys(folder: string, made: string[]): void {
  const passphrase = readPassphrase(folder);
  if (passphrase === null) return;
  for (const name of readdirSync(folder).filter((file) => CA_KEY.test(file))) {
    const file = join(folder, name);
    const pem = encryptedPem(readFileSync(file, "utf8"), passphrase);
    if (pem === null) continue;
    writeFileAtomic(file, pem, 0o600);
    made.push(file);
  }
}

/** The root with its key, as its certificate names it. @throws PkiError | KeyError */
export function openRoot(folder: string, keys: KeyStore = FILE_KEYS): Issuer {
  const certificate = readPem(fileOf(folder, "root", "crt"));
  const signer = loadSigner(fileOf(folder, "root", "key"), keys);
  if (!new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" }).equals(signer.spki))
    throw new PkiError(`Cannot use ${folder}: root.key is not the key of root.crt.`);
  return issuerOf(certificate, signer);
}

export type IssuingKind = "P-256" | "P-384";

/** CAs below the root. */
const INTERMEDIATES = {
  infrastructure: { role: "infrastructure CA", article: "an infrastructure CA" },
  device: { role: "device CA", article: "a device CA" },
} as const;

/** Opens the infrastructure CA. The root's key is not needed. @throws PkiError | KeyError */
export function openPki(folder: string, keys: KeyStore = FILE_KEYS): InfrastructureCa {
  const { root, certificate, signer } = openIntermediate(folder, "infrastructure", keys);
  return createInfrastructureCa(root, certificate, signer);
}

/** A CA below the root whose key, certificate and root fit together. @throws PkiError | KeyError */
export function openIntermediate(
  folder: string,
  name: string,
  keys: KeyStore = FILE_KEYS,
): { readonly root: string; readonly certificate: string; readonly signer: Signer } {
  const [root, certificate] = [readPem(fileOf(folder, "root", "crt")), readPem(fileOf(folder, name, "crt"))];
  const signer = loadSigner(fileOf(folder, name, "key"), keys);
  const [top, own] = [new X509Certificate(root), new X509Certificate(certificate)];
  if (!own.verify(top.publicKey)) throw new PkiError(`Cannot use ${folder}: ${name}.crt is not signed by root.crt.`);
  if (!own.publicKey.export({ type: "spki", format: "der" }).equals(signer.spki))
    throw new PkiError(`Cannot use ${folder}: ${name}.key is not the key of ${name}.crt.`);
  return { root, certificate, signer };
}

export interface ServerCertificate {
  /** PEM of the private key, and of the certificate with its chain. */
  readonly key: string;
  readonly certificate: string;
  /** Files that were made; none when what was there will do. */
  readonly made: readonly string[];
}

/**
 * The certificate of one of the registry's own listeners: the one that is there, or a new one when there is none, when a third
 * of its life is left, when it is for other names, or from another CA.
 * @throws Problem server_name
 */
export async function serverCertificate(
  folder: string,
  role: "register" | "control",
  names: readonly string[],
  ca: InfrastructureCa,
  now: number,
): Promise<ServerCertificate> {
  const made: string[] = [];
  const signer = listenerKey(folder, role, made);
  const file = fileOf(folder, role, "crt");
  const urn = role === "control" ? URN.control : undefined;
  const sans = [...names.map((name) => serverName(name)?.value), ...(urn === undefined ? [] : [urn])];
  if (!existsSync(file) || !stillGood(readPem(file), sans, ca, signer, now)) {
    const issued = await ca.issueServer({ kind: "P-256", spki: signer.spki }, names, now, urn);
    write(file, issued.pem + ca.chain, made);
  }
  return { key: readFileSync(fileOf(folder, role, "key"), "utf8"), certificate: readPem(file), made };
}

function stillGood(pem: string, sans: readonly (string | undefined)[], ca: InfrastructureCa, signer: Signer, now: number): boolean {
  const certificate = new X509Certificate(pem);
  return (
    Date.parse(certificate.validTo) - now > LIFE_MS.server / 3 &&
    namesOf(certificate).join() === sans.join() &&
    certificate.verify(new X509Certificate(ca.chain).publicKey) &&
    certificate.publicKey.export({ type: "spki", format: "der" }).equals(signer.spki)
  );
}

/** Canonical names of a server certificate of ours; OpenSSL writes IPv6 addresses long and in capitals. */
const namesOf = (certificate: X509Certificate): readonly string[] =>
  (certificate.subjectAltName ?? "").split(", ").map((name) => {
    const address = /^IP Address:(.*)$/.exec(name)?.[1];
    return address === undefined ? name.replace(/^(DNS|URI):/, "") : parseAddress(address).address;
  });

async function caKeyFor(
  folder: string,
  name: "root" | keyof typeof INTERMEDIATES,
  made: string[],
  kind: IssuingKind,
  keys: KeyStore,
): Promise<Signer> {
  const file = fileOf(folder, name, "key");
  if (existsSync(file)) return loadSigner(file, keys);
  return writeKey(file, await keys.make(name, folder, kind), made);
}

/** A listener's key is read by TLS itself, which knows no passphrase. */
function listenerKey(folder: string, name: "register" | "control", made: string[]): Signer {
  const file = fileOf(folder, name, "key");
  return existsSync(file) ? loadSigner(file) : writeKey(file, generateKey(), made);
}

function writeKey(file: string, { signer, pem }: NewKey, made: string[]): Signer {
  writeFileAtomic(file, pem, 0o600);
  made.push(file);
  return signer;
}

function write(file: string, pem: string, made: string[]): void {
  writeFileAtomic(file, pem, 0o644);
  made.push(file);
}

function readPem(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new PkiError(`Cannot use ${file} as a certificate: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
