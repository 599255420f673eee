import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { canonicalSubmission, type Submission } from "./submission.ts";

/**
 * The proof by a certificate's key: a signature over the canonical submission as that kind of key signs, in the form that OpenSSL
 * writes. ECDSA (DER) with SHA-256 on P-256 and SHA-384 on P-384, Ed25519, RSASSA-PKCS1-v1_5 with SHA-256.
 */

/** Of RSA-4096. */
const MAX_SIGNATURE_BYTES = 512;
/** Base64url of a signature by any kind of key. */
export const CERTIFICATE_SIGNATURE = new RegExp(`^[A-Za-z0-9_-]{1,${Math.ceil((MAX_SIGNATURE_BYTES * 4) / 3)}}$`);

/** @param key private key of the certificate. @returns base64url */
export const signByCertificate = (submission: Submission, key: KeyObject): string =>
  sign(hashOf(key), canonicalSubmission(submission), key).toString("base64url");

/** @param certificate PEM, or its public key's, @param signature base64url */
export function verifyByCertificate(submission: Submission, certificate: string, signature: string): boolean {
  const publicKey = createPublicKey(certificate);
  return verify(hashOf(publicKey), canonicalSubmission(submission), publicKey, Buffer.from(signature, "base64url"));
}

function hashOf(key: KeyObject): "sha256" | "sha384" | null {
  if (key.asymmetricKeyType === "ed25519") return null;
  const { asymmetricKeyDetails } = key.type === "private" ? createPublicKey(key) : key;
  return asymmetricKeyDetails?.namedCurve === "secp384r1" ? "sha384" : "sha256";
}
