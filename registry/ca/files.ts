import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { parseAddress } from "../../lib/ip.ts";
import { URN } from "../../lib/service.ts";
import { type CaKind, makeRoot } from "./authority.ts";
import { certify } from "./certify.ts";
import { serverName } from "./extensions.ts";
import { fileOf, generationFiles, type IssuingKind, PkiError, readPem } from "./folder.ts";
import { openIssuingRoot } from "./generations.ts";
import { type InfrastructureCa, LIFE_MS } from "./infrastructure.ts";
import { isKeyReference } from "./key-reference.ts";
import { CA_KEY } from "./keys.ts";
import { makeRootCrl, rootCrlIsDue } from "./root-crl.ts";
import { encryptedPem, FILE_KEYS, generateKey, type KeyStore, loadSigner, type NewKey, readPassphrase, type Signer } from "./signer.ts";

/** Entries of the list that a root's key signs, from {@link crlEntries}: CAs that it signed and that were taken back. @param root its common name */
export type RootEntries = (root: string) => readonly Buffer[];

/**
 * Makes root, infrastructure CA and device CA where there is none, and each root's CRL when half of its life is over and its key is
 * there; what is there stays as it is.
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
  entries: RootEntries = () => [],
): Promise<readonly string[]> {
  makePrivateFolder(folder);
  const made: string[] = [];
  encryptKeys(folder, made);
  const missing = (Object.keys(INTERMEDIATES) as (keyof typeof INTERMEDIATES)[]).filter(
    (name) => generationFiles(folder, name).length === 0,
  );
  const root = fileOf(folder, "root", "crt");
  if (generationFiles(folder, "root").length === 0) {
    if (missing.length < Object.keys(INTERMEDIATES).length)
      throw new PkiError(`Cannot go on without ${root}: put the root certificate back.`);
    const signer = await caKeyFor(folder, "root", made, "P-256", keys);
    write(root, await makeRoot(signer, now), made);
  }
  // Only those whose key is here can sign.
  const roots = generationFiles(folder, "root").flatMap((file) => openIssuingRoot(folder, file, keys) ?? []);
  for (const name of missing) {
    const [top] = roots;
    if (top === undefined)
      throw new PkiError(
        `Cannot sign ${INTERMEDIATES[name].article} without ${fileOf(folder, "root", "key")}: put the root's key back for it.`,
      );
    const signer = await caKeyFor(folder, name, made, kind, keys);
    write(fileOf(folder, name, "crt"), await certify(INTERMEDIATES[name].role, top, { signer, now }), made);
  }
  for (const { file, issuer } of roots) {
    if (!rootCrlIsDue(folder, file, now)) continue;
    writeFileAtomic(fileOf(folder, file, "crl"), await makeRootCrl(issuer, now, entries(issuer.name)), 0o644);
    made.push(fileOf(folder, file, "crl"));
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

/** CAs below the root. */
const INTERMEDIATES = {
  infrastructure: { role: "infrastructure CA", article: "an infrastructure CA" },
  device: { role: "device CA", article: "a device CA" },
} as const;

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
  const held = existsSync(file) ? readPem(file) : null;
  if (held === null || !stillGood(held, sans, ca, signer, now)) {
    const issued = await ca.issueServer({ kind: "P-256", spki: signer.spki }, names, now, urn);
    write(file, issued.pem + ca.chain, made);
  } else {
    // Another root came or went: the same certificate with another chain behind it.
    const [own = ""] = held.split(/(?<=-----END CERTIFICATE-----\n)/);
    if (held !== own + ca.chain) write(file, own + ca.chain, made);
  }
  return { key: readFileSync(fileOf(folder, role, "key"), "utf8"), certificate: readPem(file), made };
}

/** What a listener may go on with while the CA's key cannot be used: its own pair while it is good. Null where there is none. */
export function heldCertificate(folder: string, role: "register" | "control", now: number): { key: string; certificate: string } | null {
  try {
    const [key, certificate] = [readFileSync(fileOf(folder, role, "key"), "utf8"), readPem(fileOf(folder, role, "crt"))];
    const own = new X509Certificate(certificate);
    return own.checkPrivateKey(createPrivateKey(key)) && Date.parse(own.validTo) > now ? { key, certificate } : null;
  } catch {
    return null;
  }
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

async function caKeyFor(folder: string, name: CaKind, made: string[], kind: IssuingKind, keys: KeyStore): Promise<Signer> {
  const file = fileOf(folder, name, "key");
  // Here it has no certificate yet: a name alone signed nothing, and the configuration of today says which it is to be.
  if (existsSync(file) && isKeyReference(readFileSync(file, "utf8"))) rmSync(file);
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
