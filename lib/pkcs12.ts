import { createCipheriv, createHmac, hash, type KeyObject, pbkdf2Sync, randomBytes, X509Certificate } from "node:crypto";
import { integerOf, NULL, octetsOf, oidOf, sequenceOf, setOf, taggedOf, wrapped } from "./der.ts";

/** Derivations of key and MAC, so that guessing a password takes time; more than 100,000 some readers take for an attack. */
const ITERATIONS = 100_000;
const SALT_BYTES = 16;
/** Characters (UTF-16) of a password. */
export const MAX_PASSWORD = 256;

/** One line that is not empty: empty passwords are read in two ways (RFC 7292 appendix B.1), and none is a password. */
export const isPassword = (text: string): boolean => text !== "" && text.length <= MAX_PASSWORD && !/\p{Cc}/u.test(text);

const OID = {
  data: oidOf("1.2.840.113549.1.7.1"),
  encryptedData: oidOf("1.2.840.113549.1.7.6"),
  shroudedKeyBag: oidOf("1.2.840.113549.1.12.10.1.2"),
  certBag: oidOf("1.2.840.113549.1.12.10.1.3"),
  x509Certificate: oidOf("1.2.840.113549.1.9.22.1"),
  friendlyName: oidOf("1.2.840.113549.1.9.20"),
  localKeyId: oidOf("1.2.840.113549.1.9.21"),
  pbes2: oidOf("1.2.840.113549.1.5.13"),
  pbkdf2: oidOf("1.2.840.113549.1.5.12"),
  hmacSha256: oidOf("1.2.840.113549.2.9"),
  aes256Cbc: oidOf("2.16.840.1.101.3.4.1.42"),
  sha256: oidOf("2.16.840.1.101.3.4.2.1"),
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
  const attributes = setOf(
    ...inOrder(
      sequenceOf(OID.friendlyName, setOf(wrapped(BMP_STRING, utf16(name)))),
      sequenceOf(OID.localKeyId, setOf(octetsOf(Buffer.from(hash("sha256", leaf), "hex")))),
    ),
  );
  const keyBag = sequenceOf(OID.shroudedKeyBag, taggedOf(0, encrypted(key.export({ type: "pkcs8", format: "der" }), password)), attributes);
  const certBags = [certBag(leaf, attributes), ...chain.map((pem) => certBag(new X509Certificate(pem).raw))];
  const safe = sequenceOf(encryptedContent(sequenceOf(...certBags), password), dataContent(sequenceOf(keyBag)));
  return sequenceOf(integerOf(3), dataContent(safe), macData(safe, password));
}

const BMP_STRING = 0x1e;

const certBag = (der: Uint8Array, ...attributes: readonly Buffer[]): Buffer =>
  sequenceOf(OID.certBag, taggedOf(0, sequenceOf(OID.x509Certificate, taggedOf(0, octetsOf(der)))), ...attributes);

/** ContentInfo of plain data (RFC 2315 §7). */
const dataContent = (der: Uint8Array): Buffer => sequenceOf(OID.data, taggedOf(0, octetsOf(der)));

/** ContentInfo of EncryptedData (RFC 2315 §13); the ciphertext is [0] IMPLICIT OCTET STRING. */
function encryptedContent(der: Uint8Array, password: string): Buffer {
  const { algorithm, ciphertext } = pbes2(der, password);
  const content = sequenceOf(OID.data, algorithm, wrapped(0x80, ciphertext));
  return sequenceOf(OID.encryptedData, taggedOf(0, sequenceOf(integerOf(0), content)));
}

/** EncryptedPrivateKeyInfo (RFC 5208 §6). */
function encrypted(pkcs8: Uint8Array, password: string): Buffer {
  const { algorithm, ciphertext } = pbes2(pkcs8, password);
  return sequenceOf(algorithm, octetsOf(ciphertext));
}

/** RFC 8018 §6.2 and appendix A; the password in UTF-8. */
function pbes2(plain: Uint8Array, password: string): { readonly algorithm: Buffer; readonly ciphertext: Buffer } {
  const [salt, iv] = [randomBytes(SALT_BYTES), randomBytes(16)];
  const cipher = createCipheriv("aes-256-cbc", pbkdf2Sync(password, salt, ITERATIONS, 32, "sha256"), iv);
  const derivation = sequenceOf(
    OID.pbkdf2,
    sequenceOf(octetsOf(salt), integerOf(ITERATIONS), integerOf(32), sequenceOf(OID.hmacSha256, NULL)),
  );
  return {
    algorithm: sequenceOf(OID.pbes2, sequenceOf(derivation, sequenceOf(OID.aes256Cbc, octetsOf(iv)))),
    ciphertext: Buffer.concat([cipher.update(plain), cipher.final()]),
  };
}

function macData(content: Uint8Array, password: string): Buffer {
  const salt = randomBytes(SALT_BYTES);
  const mac = createHmac("sha256", macKey(password, salt)).update(content).digest();
  return sequenceOf(sequenceOf(sequenceOf(OID.sha256, NULL), octetsOf(mac)), octetsOf(salt), integerOf(ITERATIONS));
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
