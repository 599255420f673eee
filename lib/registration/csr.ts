import { hash } from "node:crypto";
import { decodePem } from "../pem.ts";
import { Problem } from "../problem.ts";

/** Largest request accepted, bytes of DER. An RSA-4096 request with a few attributes is below 2 kB. */
export const MAX_CSR_BYTES = 8_192;
/** Base 64 of that with its line breaks and lines around. */
const MAX_PEM_LENGTH = Math.ceil(MAX_CSR_BYTES / 3) * 4 * 1.05 + 200;

/**
 * The bytes of a PKCS #10 request in PEM. Only its outside is looked at: one block, within its bound, one DER SEQUENCE and nothing
 * behind it. Whoever signs looks inside.
 * @throws Problem csr_size | csr_format
 */
export function csrFromPem(text: string): Buffer {
  if (text.length > MAX_PEM_LENGTH) throw csrTooLarge();
  const der = decodePem("CERTIFICATE REQUEST", text) ?? decodePem("NEW CERTIFICATE REQUEST", text);
  if (der === null) throw new Problem(422, "csr_format", "The certificate request is not one PEM block of a PKCS #10 request.");
  if (der.length > MAX_CSR_BYTES) throw csrTooLarge();
  if (!isOneSequence(der)) throw new Problem(422, "csr_format", "The certificate request is not a PKCS #10 request in DER.");
  return der;
}

/**
 * As {@link csrFromPem}, of base 64 without lines around it, broken into lines anywhere or not at all (RFC 7030 §4.2.1, RFC 8951 §3.1).
 * @throws Problem csr_size | csr_format
 */
export function csrFromBase64(text: string): Buffer {
  const base64 = text.replace(/[\r\n\t ]/g, "");
  const der = Buffer.from(base64, "base64");
  if (der.toString("base64") !== base64)
    throw new Problem(422, "csr_format", "The certificate request is not a PKCS #10 request in base 64.");
  if (der.length > MAX_CSR_BYTES) throw csrTooLarge();
  if (!isOneSequence(der)) throw new Problem(422, "csr_format", "The certificate request is not a PKCS #10 request in DER.");
  return der;
}

export const csrTooLarge = (): Problem => new Problem(413, "csr_size", `A certificate request is at most ${MAX_CSR_BYTES} bytes.`);

/** What a submission says of its request: SHA-256 of the DER, lower-case hex. */
export const csrDigest = (der: Uint8Array): string => hash("sha256", der);

const SEQUENCE = 0x30;

/** X.690 §8.1.3, §10.1: a definite length in its shortest form that is exactly what follows. */
function isOneSequence(der: Buffer): boolean {
  const first = der[1] ?? 0;
  if (der[0] !== SEQUENCE) return false;
  if (first < 0x80) return der.length === 2 + first;
  const octets = first & 0x7f;
  if (octets < 1 || octets > 2 || der.length < 2 + octets) return false;
  const length = der.readUIntBE(2, octets);
  return length >= (octets === 1 ? 0x80 : 0x100) && der.length === 2 + octets + length;
}
