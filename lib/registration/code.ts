import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, randomBytes } from "node:crypto";
import { Problem } from "../problem.ts";

/**
 * Security codes. As text: 35 characters of Crockford's base 32 in seven groups of five, "SSSSS-SSSKK-KKKKK-…-KKKKC":
 * an 8 character selector (40 bits, public), a 26 character secret (130 bits) and one check character (Luhn mod 32).
 * The secret seeds an Ed25519 key; only its public half ever leaves the one who types the code.
 */
export interface SecurityCode {
  /** 8 characters, upper case: names the code, is no secret. */
  readonly selector: string;
  /** Ed25519 key derived from the secret: what signs the proof. */
  readonly privateKey: KeyObject;
  /** Its public half, base64url of the 32 raw bytes: what storage holds. */
  readonly publicKey: string;
}

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
export const SELECTOR_LENGTH = 8;
const SECRET_LENGTH = 26;
/** Longest text that is looked at: the code with separators to spare. */
const MAX_TYPED = 200;
const LENGTH = SELECTOR_LENGTH + SECRET_LENGTH + 1;
/** PKCS#8 of an Ed25519 private key up to its 32 seed bytes (RFC 8410 §7). */
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

/** A new random code: its text, to be shown once, and the parts that storage keeps. */
export function generateCode(): SecurityCode & { readonly text: string } {
  const body = [...randomBytes(SELECTOR_LENGTH + SECRET_LENGTH)].map((byte) => ALPHABET[byte & 31]).join("");
  const text = `${body}${checkCharacter(body)}`;
  return { ...parseCode(text), text: (text.match(/.{5}/g) ?? []).join("-") };
}

/** What a person typed in the alphabet's own characters: case, spaces and hyphens do not matter, O is 0, I and L are 1. */
export const inAlphabet = (typed: string): string => typed.toUpperCase().replace(/[\s-]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");

/** Whether a text has the form of a code: one that stands where it should not is not to be shown again. */
export function looksLikeCode(text: string): boolean {
  const plain = text.length > MAX_TYPED ? "" : inAlphabet(text);
  return plain.length === LENGTH && [...plain].every((character) => ALPHABET.includes(character));
}

/**
 * Reads a code as a person types it (Crockford).
 * @throws Problem code_format (wrong length or letters) | code_check (the check character says it was mistyped)
 */
export function parseCode(text: string): SecurityCode {
  if (!looksLikeCode(text)) throw new Problem(422, "code_format", "A security code is seven groups of five letters and digits.");
  const plain = inAlphabet(text);
  if (checkCharacter(plain.slice(0, -1)) !== plain.at(-1)) {
    throw new Problem(422, "code_check", "The security code was mistyped: its last character does not fit the others.");
  }
  const selector = plain.slice(0, SELECTOR_LENGTH);
  const seed = hkdfSync("sha256", Buffer.from(plain.slice(SELECTOR_LENGTH, -1)), Buffer.from(selector), "entityos code v1", 32);
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, Buffer.from(seed)]), format: "der", type: "pkcs8" });
  return { selector, privateKey, publicKey: rawPublicKey(privateKey) };
}

/** base64url of the 32 raw bytes of an Ed25519 key's public half. */
export function rawPublicKey(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return String(publicKey.export({ format: "jwk" }).x);
}

/** The reverse of {@link rawPublicKey}. @throws Problem device_key when the text is no Ed25519 public key */
export function publicKeyFromRaw(raw: string): KeyObject {
  try {
    // The last character carries four bits; its two spare ones are zero, so that a key has one text.
    if (!/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(raw)) throw new Error("not 32 bytes in canonical base64url");
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw }, format: "jwk" });
  } catch (cause) {
    throw new Problem(422, "device_key", "A device key is an Ed25519 public key: 32 bytes in base64url.", { cause });
  }
}

/** Told after a right code only, so that nobody learns of a selector what its profile allows. */
export const plainCodeRefused = (): Problem =>
  new Problem(
    403,
    "plain_code_refused",
    "This code is right, and its profile takes no code itself: sign with it, as 'entityos enroll' does, and send its selector and the proof.",
  );

/** Luhn mod N with N = 32: finds every single wrong character and nearly every swap of neighbours. */
function checkCharacter(body: string): string {
  let sum = 0;
  for (let i = body.length - 1, factor = 2; i >= 0; i--, factor = 3 - factor) {
    const product = ALPHABET.indexOf(body.charAt(i)) * factor;
    sum += Math.floor(product / 32) + (product % 32);
  }
  return ALPHABET.charAt((32 - (sum % 32)) % 32);
}
