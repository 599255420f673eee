import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { credentialPath } from "../../lib/credentials.ts";
import { type KeyKind, OWN_SIGNATURE, type SignatureAlgorithm } from "./algorithms.ts";
import { KeyError } from "./key-error.ts";
import { isKeyReference, type KeyReference, readKeyReference } from "./key-reference.ts";
import type { CaService } from "./service.ts";

/** The one seam to a private key: a file here, a hardware module or a cloud's key service elsewhere. */
export interface Signer {
  /** SubjectPublicKeyInfo of its public half, DER. */
  readonly spki: Buffer;
  readonly algorithm: SignatureAlgorithm;
  /** Since when it cannot sign, integer milliseconds; null while the last attempt was right. */
  readonly failingSince: number | null;
  /** The CA itself where it is a service, which `sign` is none of the ways to. */
  readonly service: CaService | null;
  /** @throws Problem signer_unavailable from a key that is kept elsewhere */
  sign(data: Uint8Array): Promise<Buffer>;
}

/** @throws KeyError unless it is a private key on P-256, P-384 or Ed25519 */
export function createSigner(key: KeyObject): Signer {
  const kind = kindOf(key);
  if (kind === undefined || kind === "RSA")
    throw new KeyError("Cannot sign with this key: it is not a private key on P-256, P-384 or Ed25519.");
  return signerWith(key, kind);
}

/** As {@link createSigner} for what signs its own request alone, which may be RSA too. @throws KeyError */
export function createRequestSigner(key: KeyObject): Signer {
  const kind = kindOf(key);
  if (kind === undefined)
    throw new KeyError("Cannot sign a request with this key: it is not a private key on P-256, P-384, Ed25519 or RSA.");
  return signerWith(key, kind);
}

function kindOf(key: KeyObject): KeyKind | undefined {
  if (key.type !== "private") return undefined;
  if (key.asymmetricKeyType === "rsa") return "RSA";
  return key.asymmetricKeyType === "ed25519" ? "Ed25519" : CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""];
}

function signerWith(key: KeyObject, kind: KeyKind): Signer {
  const algorithm = OWN_SIGNATURE[kind];
  return {
    spki: createPublicKey(key).export({ type: "spki", format: "der" }),
    algorithm,
    failingSince: null,
    service: null,
    sign: async (data) => sign(algorithm.hash, data, key),
  };
}

const CURVES: Readonly<Record<string, "P-256" | "P-384">> = { prime256v1: "P-256", secp384r1: "P-384" };

/**
 * The passphrase of a folder's CA keys, without the line break that it may end with: what the service manager handed over as
 * "passphrase" (LoadCredential=), else the file of that name in the folder. Null where there is neither: then keys are kept plain.
 */
export function readPassphrase(folder: string): string | null {
  const file = credentialPath(join(folder, "passphrase"));
  return existsSync(file) ? readFileSync(file, "utf8").replace(/\r?\n$/, "") : null;
}

/** CAs that have a key. */
export type KeyRole = "root" | "infrastructure" | "device";

/** A key that no certificate is for yet, and what its file is to hold. */
export interface NewKey {
  readonly signer: Signer;
  readonly pem: string;
}

/** Where the CAs' keys are: made and used in the folder's files, or elsewhere, named by those files. */
export interface KeyStore {
  /** A key for a CA of that role that nothing in the folder has. @throws KeyError when there is none | Problem signer_unavailable */
  make(role: KeyRole, folder: string, kind: KeyKind): Promise<NewKey>;
  /** Asks nobody. @throws KeyError when that key is not for this configuration */
  open(reference: KeyReference): Signer;
}

/** Keys are made here and stay in files, encrypted where there is a passphrase. */
export const FILE_KEYS: KeyStore = {
  make: async (_role, folder, kind) => generateKey(kind, readPassphrase(folder)),
  open: ({ arn }) => {
    throw new KeyError(`it names ${arn}, and ca.signer.kind is file`);
  },
};

/**
 * @throws KeyError when the file cannot be read, holds no PEM private key, one of another kind, one that the passphrase does not open,
 * or names a key of elsewhere that `keys` does not have
 */
export function loadSigner(file: string, keys: KeyStore = FILE_KEYS): Signer {
  let key: KeyObject;
  try {
    const text = readFileSync(file, "utf8");
    if (isKeyReference(text)) return keys.open(readKeyReference(text));
    const passphrase = readPassphrase(dirname(file));
    key = createPrivateKey({ key: text, ...(passphrase === null ? {} : { passphrase }) });
  } catch (cause) {
    throw new KeyError(`Cannot use ${file} as a private key: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  return createSigner(key);
}

/** Bits of the RSA keys that are made here. */
const RSA_BITS = 3072;

/** A new key and its PKCS #8 PEM, as written to a key file: encrypted where there is a passphrase. */
export function generateKey(kind: KeyKind = "P-256", passphrase: string | null = null): NewKey {
  const { privateKey } = newPair(kind);
  return { signer: signerWith(privateKey, kind), pem: keyPem(privateKey, passphrase) };
}

const keyPem = (key: KeyObject, passphrase: string | null): string =>
  String(key.export({ type: "pkcs8", format: "pem", ...(passphrase === null ? {} : { cipher: "aes-256-cbc", passphrase }) }));

/** The same key encrypted; null when it is so already, or kept elsewhere. @param pem PKCS #8, or a reference */
export const encryptedPem = (pem: string, passphrase: string): string | null =>
  pem.includes("-----BEGIN ENCRYPTED PRIVATE KEY-----") || isKeyReference(pem) ? null : keyPem(createPrivateKey(pem), passphrase);

function newPair(kind: KeyKind): { readonly privateKey: KeyObject } {
  switch (kind) {
    case "P-256":
    case "P-384":
      return generateKeyPairSync("ec", { namedCurve: kind });
    case "Ed25519":
      return generateKeyPairSync("ed25519");
    case "RSA":
      return generateKeyPairSync("rsa", { modulusLength: RSA_BITS });
    default:
      return kind satisfies never;
  }
}
