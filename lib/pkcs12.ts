import { createCipheriv, createHmac, hash, type KeyObject, pbkdf2Sync, randomBytes, X509Certificate } from "node:crypto";
import { integerOf, NULL, octetString, oid, sequence, set, tagged, tlv } from "./der.ts";

/** Derivations of key and MAC, so that guessing a password takes time; more than 100,000 some readers take for an attack. */
const ITERATIONS = 100_000;
const SALT_BYTES = 16;
/** Characters (UTF-16) of a password. */
export const MAX_PASSWORD = 256;

/** One line that is not empty: empty passwords are read in two ways (RFC 7292 appendix B.1), and none is a password. */
export const isPassword = (text: string): boolean => text !== "" && text.length <= MAX_PASSWORD && !/\p{Cc}/u.test(text);

const OID = {
  data: oid("1.2.840.113549.1.7.1"),
  encryptedData: oid("1.2.840.113549.1.7.6"),
  shroudedKeyBag: oid("1.2.840.113549.1.12.10.1.2"),
  certBag: oid("1.2.840.113549.1.12.10.1.3"),
  x509Certificate: oid("1.2.840.113549.1.9.22.1"),
  friendlyName: oid("1.2.840.113549.1.9.20"),
  localKeyId: oid("1.2.840.113549.1.9.21"),
  pbes2: oid("1.2.840.113549.1.5.13"),
  pbkdf2: oid("1.2.840.113549.1.5.12"),
  hmacSha256: oid("1.2.840.113549.2.9"),
  aes256Cbc: oid("2.16.840.1.101.3.4.1.42"),
  sha256: oid("2.16.840.1.101.3.4.2.1"),
};

export interface Pkcs12Parts {
  /** Of any kind that PKCS #8 knows. */
  readonly key: KeyObject;
  /** PEM of the key's certificate, and of what stands above it. */
  readonly certificate: string;
  readonly chain: readonly string[];
  /** What a keyring shows. */
  readonly name: string;
  readonly password: string;
}

/**
 * A PKCS #12 file (RFC 7292): key and certificates by PBES2 with AES-256-CBC and PBKDF2 with
 * HMAC-SHA-256, the whole by HMAC-SHA-256. What OpenSSL 3 writes, and browsers read.
 * @throws RangeError unless {@link isPassword}
 */
export function makePkcs12({ key, certificate, chain, name, password }: Pkcs12Parts): Buffer {
  if (!isPassword(password)) throw new RangeError(`A password is one line of 1 to ${MAX_PASSWORD} characters.`);
  const leaf = new X509Certificate(certificate).raw;
  const attributes = set(
    ...inOrder(
      sequence(OID.friendlyName, set(tlv(BMP_STRING, utf16(name)))),
      sequence(OID.localKeyId, set(octetString(Buffer.from(hash("sha256", leaf), "hex")))),
    ),
  );
  const keyBag = sequence(OID.shroudedKeyBag, tagged(0, encrypted(key.export({ type: "pkcs8", format: "der" }), password)), attributes);
  const certBags = [certBag(leaf, attributes), ...chain.map((pem) => certBag(new X509Certificate(pem).raw))];
  const safe = sequence(encryptedContent(sequence(...certBags), password), dataContent(sequence(keyBag)));
  return sequence(integerOf(3), dataContent(safe), macData(safe, password));
}

const BMP_STRING = 0x1e;

const certBag = (der: Uint8Array, ...attributes: readonly Buffer[]): Buffer =>
  sequence(OID.certBag, tagged(0, sequence(OID.x509Certificate, tagged(0, octetString(der)))), ...attributes);

/** ContentInfo of plain data (RFC 2315 §7). */
const dataContent = (der: Uint8Array): Buffer => sequence(OID.data, tagged(0, octetString(der)));

/** ContentInfo of EncryptedData (RFC 2315 §13); the ciphertext is [0] IMPLICIT OCTET STRING. */
function encryptedContent(der: Uint8Array, password: string): Buffer {
  const { algorithm, ciphertext } = pbes2(der, password);
  const content = sequence(OID.data, algorithm, tlv(0x80, ciphertext));
  return sequence(OID.encryptedData, tagged(0, sequence(integerOf(0), content)));
}

/** EncryptedPrivateKeyInfo (RFC 5208 §6). */
function encrypted(pkcs8: Uint8Array, password: string): Buffer {
  const { algorithm, ciphertext } = pbes2(pkcs8, password);
  return sequence(algorithm, octetString(ciphertext));
}

/** RFC 8018 §6.2 and appendix A; the password in UTF-8. */
function pbes2(plain: Uint8Array, password: string): { readonly algorithm: Buffer; readonly ciphertext: Buffer } {
  const [salt, iv] = [randomBytes(SALT_BYTES), randomBytes(16)];
  const cipher = createCipheriv("aes-256-cbc", pbkdf2Sync(password, salt, ITERATIONS, 32, "sha256"), iv);
  const derivation = sequence(
    OID.pbkdf2,
    sequence(octetString(salt), integerOf(ITERATIONS), integerOf(32), sequence(OID.hmacSha256, NULL)),
  );
  return {
    algorithm: sequence(OID.pbes2, sequence(derivation, sequence(OID.aes256Cbc, octetString(iv)))),
    ciphertext: Buffer.concat([cipher.update(plain), cipher.final()]),
  };
}

function macData(content: Uint8Array, password: string): Buffer {
  const salt = randomBytes(SALT_BYTES);
  const mac = createHmac("sha256", macKey(password, salt)).update(content).digest();
  return sequence(sequence(sequence(OID.sha256, NULL), octetString(mac)), octetString(salt), integerOf(ITERATIONS));
}

const BLOCK_BYTES = 64;

/** RFC 7292 appendix B.2 with SHA-256 and ID 3 (MAC): one block is all that 32 bytes need. The password in UTF-16 with its end. */
function macKey(password: string, salt: Uint8Array): Buffer {
  const diversifier = Buffer.alloc(BLOCK_BYTES, 3);
  let key: Buffer = Buffer.concat([diversifier, repeated(salt), repeated(utf16(`${password}\0`))]);
  for (let round = 0; round < ITERATIONS; round++) key = hash("sha256", key, "buffer");
  return key;
}

/** Whole blocks of it, one after the other. */
const repeated = (bytes: Uint8Array): Buffer => Buffer.alloc(Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES, bytes);

/** Big-endian, as BMPString has it. */
const utf16 = (text: string): Buffer => Buffer.from(text, "utf16le").swap16();

/** DER's order of a SET OF (X.690 §11.6). */
const inOrder = (...encoded: readonly Buffer[]): Buffer[] => encoded.toSorted(Buffer.compare);
