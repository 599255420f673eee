import { createECDH, type KeyObject, randomBytes } from "node:crypto";
import { integer, sequence } from "../../lib/der.ts";

const CURVES = {
  "P-256": { name: "prime256v1", order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n, bytes: 32 },
  "P-384": {
    name: "secp384r1",
    order: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    bytes: 48,
  },
} as const;

const big = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex") || "0"}`);
const mod = (value: bigint, order: bigint): bigint => ((value % order) + order) % order;

function power(base: bigint, exponent: bigint, order: bigint): bigint {
  let [result, square] = [1n, base % order];
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % order;
    square = (square * square) % order;
  }
  return result;
}

/**
 * ECDSA over a digest that somebody else made (SEC 1 §4.1.3), DER: what a key service does and node:crypto has no call for.
 * Points are node:crypto's. Constant time is no concern of a test's.
 */
export function signDigest(key: KeyObject, curve: keyof typeof CURVES, digest: Uint8Array): Buffer {
  const { name, order, bytes } = CURVES[curve];
  const secret = big(Buffer.from(String(key.export({ format: "jwk" }).d), "base64url"));
  const ecdh = createECDH(name);
  const nonce = mod(big(randomBytes(bytes + 8)), order - 1n) + 1n;
  ecdh.setPrivateKey(Buffer.from(nonce.toString(16).padStart(bytes * 2, "0"), "hex"));
  const r = mod(big(ecdh.getPublicKey().subarray(1, 1 + bytes)), order);
  // Both digests in use are as long as their curve's order.
  const s = mod(power(nonce, order - 2n, order) * (big(digest) + r * secret), order);
  const encoded = (value: bigint): Buffer => integer(Buffer.from(value.toString(16).padStart(bytes * 2, "0"), "hex"));
  return sequence(encoded(r), encoded(s));
}
