import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { linkAtomic, makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import { makeKeyAndCsr } from "../ca/csr.ts";
import type { AnsweredCertificate } from "./submit.ts";

export const KEY_TYPES = ["P-256", "P-384", "Ed25519", "RSA"] as const;
export type KeyType = (typeof KEY_TYPES)[number];

/** What device.json says of the certificate that this device holds. */
export interface HeldCertificate {
  /** Lower-case hex. */
  readonly serial: string;
  /** SHA-256 of the DER, lower-case hex: its name at the registry. */
  readonly fingerprint: string;
  readonly keyType: KeyType;
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * DIR/certificate is a link to DIR/certificates/SERIAL, a folder that is whole before the link turns to it: key.pem (0600),
 * certificate.pem (with its chain behind it), chain.pem. Whoever dies leaves the certificate before or the one after, never a key
 * beside another's certificate. DIR/next.key is the key of the request that is under way.
 */
const LINK = "certificate";
const FOLDERS = "certificates";
const NEXT = "next.key";

/** Where a device's certificate is found, whichever it is. */
export const certificateFolder = (folder: string): string => join(folder, LINK);

/** The key of the certificate that is in use; null when there is none. */
export const certificateKey = (folder: string): KeyObject | null => readKey(join(certificateFolder(folder), "key.pem"));

/**
 * The key that a certificate is to be asked for: on disk before the request leaves. It stays the same until there is an answer, so
 * that the request can be repeated.
 * @param same asks for the key that this device has a certificate for already
 * @param isPending whether a request that got no answer waits to be repeated
 * @param forget lets go of that request: what it asked for is not asked for any more
 */
export async function prepareKey(
  folder: string,
  { type, same, isPending, forget }: { type: KeyType; same: boolean; isPending: boolean; forget(): void },
): Promise<KeyObject> {
  const current = readKey(join(certificateFolder(folder), "key.pem"));
  const next = readKey(join(folder, NEXT));
  if (same && current === null) throw new Problem(422, "no_certificate", "There is no certificate here whose key could be used again.");
  const fits =
    next !== null && (same ? current?.equals(next) === true : keyTypeOf(next) === type && (isPending || current?.equals(next) !== true));
  if (fits) return next;
  forget();
  makePrivateFolder(folder);
  const pem = same && current !== null ? pemOf(current) : (await makeKeyAndCsr(null, type)).key;
  writeFileAtomic(join(folder, NEXT), pem, 0o600);
  return createPrivateKey(pem);
}

/**
 * Puts an answered certificate in the place of the one before.
 * @throws Problem certificate_unfit unless it is that device's, for that key, and of the CA that comes with it
 */
export function installCertificate(folder: string, key: KeyObject, device: string, { pem, chain }: AnsweredCertificate): HeldCertificate {
  const held = heldOf(pem, key);
  assertOwn(device, pem, chain);
  const own = join(folder, FOLDERS, held.serial);
  makePrivateFolder(own);
  writeFileAtomic(join(own, "key.pem"), pemOf(key), 0o600);
  writeFileAtomic(join(own, "certificate.pem"), pem + chain, 0o644);
  writeFileAtomic(join(own, "chain.pem"), chain, 0o644);
  linkAtomic(certificateFolder(folder), join(FOLDERS, held.serial));
  return held;
}

/** Takes away what the certificate in force does not need: the key of the request, and certificates before it. */
export function sweepCertificates(folder: string, serial: string | null): void {
  rmSync(join(folder, NEXT), { force: true });
  const folders = join(folder, FOLDERS);
  if (!existsSync(folders)) return;
  for (const name of readdirSync(folders)) if (name !== serial) rmSync(join(folders, name), { recursive: true, force: true });
}

/** The link first: nobody is to find half of it. */
export function removeCertificates(folder: string): void {
  rmSync(certificateFolder(folder), { force: true });
  rmSync(join(folder, FOLDERS), { recursive: true, force: true });
  rmSync(join(folder, NEXT), { force: true });
}

function heldOf(pem: string, key: KeyObject): HeldCertificate {
  const unfit = (cause?: unknown): Problem =>
    new Problem(502, "certificate_unfit", "The certificate in the answer is not for this device's key.", { cause });
  const keyType = keyTypeOf(key);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw unfit(cause);
  }
  if (keyType === null || !certificate.checkPrivateKey(key)) throw unfit();
  return {
    serial: certificate.serialNumber.toLowerCase(),
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    keyType,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
  };
}

const BLOCK = /-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----\r?\n?/g;

/** Whoever answers, a proxy too, puts nothing else beside this device's key: programs that it is given to may believe what is there. */
function assertOwn(device: string, pem: string, chain: string): void {
  const [own, ...cas] = (pem + chain).match(BLOCK)?.map((block) => new X509Certificate(block)) ?? [];
  const isWhole = (pem + chain).replace(BLOCK, "") === "" && own?.subjectAltName === `URI:${URN.device}${device}`;
  const isChain = cas.length > 0 && [own, ...cas].every((one, at) => isOf(one, cas[at]));
  if (!isWhole || !isChain)
    throw new Problem(
      502,
      "certificate_unfit",
      "The certificate in the answer is not this device's, or what comes with it is not its CA's.",
    );
}

/** The last one's CA is the root, which does not come along. */
const isOf = (one: X509Certificate | undefined, ca: X509Certificate | undefined): boolean =>
  ca === undefined || (one !== undefined && ca.ca && one.checkIssued(ca) && one.verify(ca.publicKey));

const CURVES: Readonly<Record<string, KeyType>> = { prime256v1: "P-256", secp384r1: "P-384" };

function keyTypeOf(key: KeyObject): KeyType | null {
  if (key.asymmetricKeyType === "rsa") return "RSA";
  if (key.asymmetricKeyType === "ed25519") return "Ed25519";
  return CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""] ?? null;
}

const pemOf = (key: KeyObject): string => String(key.export({ type: "pkcs8", format: "pem" }));

/** Null when there is none, or it cannot be read: then another is made. */
function readKey(file: string): KeyObject | null {
  try {
    return createPrivateKey(readFileSync(file));
  } catch {
    return null;
  }
}
