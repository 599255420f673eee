import { createPublicKey, verify } from "node:crypto";
import { expect } from "chai";
import { decodePem } from "../../lib/pem.ts";
import { OWN_SIGNATURE } from "../../registry/ca/algorithms.ts";
import { makeRoot } from "../../registry/ca/authority.ts";
import { makeCsr, parseCsr } from "../../registry/ca/csr.ts";
import type { Signer } from "../../registry/ca/signer.ts";

/** What every seam to a private key must do alike, wherever the key is. @param open gives the same key each time */
export function signerContract(name: string, open: () => Promise<Signer>): void {
  describe(`${name} as a signer`, () => {
    let signer: Signer;
    before(async () => {
      signer = await open();
    });
    const isRight = (data: Uint8Array, signature: Buffer): boolean =>
      verify(signer.algorithm.hash, data, createPublicKey({ key: signer.spki, format: "der", type: "spki" }), signature);

    it("names a public key and the algorithm that goes with it", () => {
      expect(Object.values(OWN_SIGNATURE)).to.include(signer.algorithm);
      expect(createPublicKey({ key: signer.spki, format: "der", type: "spki" }).type).to.equal("public");
    });

    it("signs nothing, little and much, many at once, so that its public key verifies each and no other", async () => {
      const texts = [
        Buffer.alloc(0),
        Buffer.of(1),
        Buffer.alloc(5_000_000, 7),
        ...Array.from({ length: 20 }, (_, index) => Buffer.of(index)),
      ];
      const signatures = await Promise.all(texts.map((text) => signer.sign(text)));
      expect(texts.map((text, index) => isRight(text, signatures[index] ?? Buffer.alloc(0)))).to.deep.equal(texts.map(() => true));
      expect(isRight(Buffer.from("other"), signatures[0] ?? Buffer.alloc(0))).to.equal(false);
    });

    it("does not keep hold of what it is given", async () => {
      const data = Buffer.from("before");
      const signature = await signer.sign(data);
      data.fill(0);
      expect(isRight(Buffer.from("before"), signature)).to.equal(true);
    });

    it("is the same key when it is opened again", async () => {
      expect((await open()).spki.equals(signer.spki)).to.equal(true);
    });

    it("proves that it holds its key, and signs certificates", async () => {
      expect(parseCsr(await makeCsr(signer, null)).spki.equals(signer.spki)).to.equal(true);
      expect(decodePem("CERTIFICATE", await makeRoot(signer, Date.UTC(2026, 10, 24)))).to.be.an.instanceOf(Buffer);
    });
  });
}
