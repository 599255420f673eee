import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { MAX_SEALED_BYTES, open, seal } from "../../lib/seal.ts";

const { publicKey, privateKey } = generateKeyPairSync("x25519");
const secret = Buffer.from("ABCDE-FGH01");

describe("a sealed box", () => {
  it("is opened by its key and for its context, whatever is in it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (bytes, context) => {
        expect(open(seal(bytes, publicKey, context), privateKey, context)).to.deep.equal(Buffer.from(bytes));
      }),
      { numRuns: 50 },
    );
  });

  it("made by another program is opened: Python's cryptography, with its X25519, HKDF and AESGCM", () => {
    const key = createPrivateKey({
      key: Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), Buffer.alloc(32, 7)]),
      format: "der",
      type: "pkcs8",
    });
    const box = "AVfbSzWfI65eFG5OJRIFZwRyJQY0jBUMFHU9DJM9BNQhntchpKCXShPEVpe9mYEyM9WoyXZ9bLVGbyO8";
    expect(open(box, key, "digest")?.toString()).to.equal("ABCDE-FGH01");
  });

  it("has no bytes in common with another one of the same secret", () => {
    const boxes = [seal(secret, publicKey, "a"), seal(secret, publicKey, "a")].map((box) => Buffer.from(box, "base64url").subarray(1));
    expect(boxes[0]?.subarray(0, 32).equals(boxes[1]?.subarray(0, 32) ?? Buffer.alloc(0))).to.equal(false);
    expect(boxes[0]?.subarray(32).equals(boxes[1]?.subarray(32) ?? Buffer.alloc(0))).to.equal(false);
  });

  it("is not opened by another key or for another context", () => {
    const box = seal(secret, publicKey, "a");
    expect(open(box, generateKeyPairSync("x25519").privateKey, "a")).to.equal(null);
    expect(open(box, privateKey, "b")).to.equal(null);
  });

  it("is not opened once a single bit of it was changed", () => {
    const bytes = Buffer.from(seal(secret, publicKey, "a"), "base64url");
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      // X25519 ignores the highest bit of a public key (RFC 7748 §5); the salt does not.
      expect(open(changed.toString("base64url"), privateKey, "a"), `bit ${bit}`).to.equal(null);
    }
  });

  for (const [what, box] of [
    ["nothing", ""],
    ["a few bytes", "AQID"],
    ["a head without a tag", Buffer.concat([Buffer.from([1]), Buffer.alloc(47, 9)]).toString("base64url")],
    [
      "a public key of zeroes, whose shared secret everybody knows",
      Buffer.concat([Buffer.from([1]), Buffer.alloc(64)]).toString("base64url"),
    ],
    ["a megabyte", "A".repeat(1 << 20)],
  ] as const) {
    it(`is not what is ${what}`, () => {
      expect(open(box, privateKey, "a")).to.equal(null);
    });
  }

  it("has a bound", () => {
    const most = Buffer.alloc(MAX_SEALED_BYTES);
    expect(open(seal(most, publicKey, "a"), privateKey, "a")).to.deep.equal(most);
    expect(() => seal(Buffer.alloc(MAX_SEALED_BYTES + 1), publicKey, "a")).to.throw(RangeError, "4096 is the most");
    expect(createPublicKey(privateKey).asymmetricKeyType).to.equal("x25519");
  });
});
