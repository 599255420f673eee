import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from "node:crypto";

/**
 * A sealed box: only the private half of the key it was sealed to opens it, and only with the context it was sealed for. A fresh
 * X25519 key for each box (RFC 7748), HKDF-SHA-256 over the shared secret (RFC 5869), AES-256-GCM with the context as additional
 * data. The key of a box encrypts once, so its nonce is constant. As text: base64url of version, fresh public key, ciphertext, tag.
 */
const VERSION = 1;
const PUBLIC_BYTES = 32;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + PUBLIC_BYTES;
const NONCE = Buffer.alloc(12);
/** SubjectPublicKeyInfo of an X25519 key up to its 32 bytes (RFC 8410 §4). */
const SPKI_X25519 = Buffer.from("302a300506032b656e032100", "hex");

/** Most bytes that go into a box. */
export const MAX_SEALED_BYTES = 4_096;
const MAX_BOX_TEXT = Math.ceil(((HEAD_BYTES + MAX_SEALED_BYTES + TAG_BYTES) * 4) / 3);

/** @throws RangeError above {@link MAX_SEALED_BYTES} */
export function seal(secret: Uint8Array, publicKey: KeyObject, context: string): string {
  if (secret.length > MAX_SEALED_BYTES) throw new RangeError(`Cannot seal ${secret.length} bytes: ${MAX_SEALED_BYTES} is the most.`);
  const fresh = generateKeyPairSync("x25519");
  const own = rawX25519(fresh.publicKey);
  const shared = diffieHellman({ privateKey: fresh.privateKey, publicKey });
  const cipher = createCipheriv("aes-256-gcm", boxKey(shared, own, publicKey), NONCE).setAAD(Buffer.from(context));
  const sealed = Buffer.concat([cipher.update(secret), cipher.final()]);
  return Buffer.concat([Buffer.from([VERSION]), own, sealed, cipher.getAuthTag()]).toString("base64url");
}

/** @returns null for whatever is no box, is for another key or context, or was changed */
export function open(box: string, privateKey: KeyObject, context: string): Buffer | null {
  if (box.length > MAX_BOX_TEXT) return null;
  const bytes = Buffer.from(box, "base64url");
  if (bytes.length < HEAD_BYTES + TAG_BYTES || bytes[0] !== VERSION) return null;
  const other = bytes.subarray(1, HEAD_BYTES);
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI_X25519, other]), format: "der", type: "spki" });
    const shared = diffieHellman({ privateKey, publicKey });
    const decipher = createDecipheriv("aes-256-gcm", boxKey(shared, other, createPublicKey(privateKey)), NONCE).setAAD(
      Buffer.from(context),
    );
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

const boxKey = (shared: Buffer, fresh: Uint8Array, recipient: KeyObject): Buffer =>
  Buffer.from(hkdfSync("sha256", shared, Buffer.concat([fresh, rawX25519(recipient)]), "entityos seal v1", 32));

const rawX25519 = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" }).subarray(SPKI_X25519.length);
