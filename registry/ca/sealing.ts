import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { PkiError } from "./folder.ts";

/** What register seals secrets to, and what control opens them with: seal.pub and seal.key (0600) in the folder of the CAs' files. */
export interface Sealing {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const filesOf = (folder: string) => ({ key: join(folder, "seal.key"), pub: join(folder, "seal.pub") });

/**
 * Makes the pair where it is missing; the public half is made again from the private one, never the other way.
 * @returns the files that were made
 */
export function makeSealing(folder: string): readonly string[] {
  makePrivateFolder(folder);
  const { key, pub } = filesOf(folder);
  const made: string[] = [];
  if (!existsSync(key)) {
    writeFileAtomic(key, String(generateKeyPairSync("x25519").privateKey.export({ type: "pkcs8", format: "pem" })), 0o600);
    made.push(key);
  }
  if (made.length > 0 || !existsSync(pub)) {
    writeFileAtomic(pub, String(createPublicKey(readKey(key, createPrivateKey)).export({ type: "spki", format: "pem" })), 0o644);
    made.push(pub);
  }
  return made;
}

/** @throws PkiError when a file is missing, no X25519 key, or they are no pair */
export function openSealing(folder: string): Sealing {
  const { key, pub } = filesOf(folder);
  const [privateKey, publicKey] = [readKey(key, createPrivateKey), readKey(pub, createPublicKey)];
  if (!createPublicKey(privateKey).equals(publicKey)) throw new PkiError(`Cannot use ${pub}: it is not the public half of ${key}.`);
  return { privateKey, publicKey };
}

function readKey(file: string, create: (pem: Buffer) => KeyObject): KeyObject {
  try {
    const key = create(readFileSync(file));
    if (key.asymmetricKeyType !== "x25519") throw new Error(`it is of kind '${String(key.asymmetricKeyType)}'`);
    return key;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PkiError(`Cannot use ${file} as an X25519 key: ${reason}. 'entityos-registry init' makes what is missing.`, { cause });
  }
}
