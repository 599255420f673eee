import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { expect } from "chai";
import { generateCode } from "../../../lib/registration/code.ts";
import { MAX_REMEMBERED, Proofs } from "../../../lib/registration/proofs.ts";
import { type Submission, signSubmission } from "../../../lib/registration/submission.ts";
import { code, submission } from "./given.ts";

const signature = signSubmission(submission, code.privateKey);

describe("proofs", () => {
  const verify = crypto.verify;
  let [checks, imports] = [0, 0];
  let proofs: Proofs;
  beforeEach(() => {
    [checks, imports] = [0, 0];
    proofs = new Proofs();
    crypto.verify = ((...args: Parameters<typeof verify>) => {
      checks++;
      return verify(...args);
    }) as typeof verify;
    const { createPublicKey } = crypto;
    crypto.createPublicKey = (key) => {
      imports++;
      return createPublicKey(key);
    };
    syncBuiltinESMExports();
    restore = () => {
      Object.assign(crypto, { verify, createPublicKey });
      syncBuiltinESMExports();
    };
  });
  let restore = () => {};
  afterEach(() => restore());

  it("are checked once: whoever asks again with the same key, bytes and signature is told what was found", async () => {
    expect(proofs.isKnown(submission, code.publicKey, signature)).to.equal(false);
    expect(proofs.isRight(submission, code.publicKey, signature)).to.equal(true);
    expect(proofs.isKnown({ ...submission, addresses: [...submission.addresses] }, code.publicKey, signature)).to.equal(true);
    expect(proofs.isRight(submission, code.publicKey, signature)).to.equal(true);
    expect(checks).to.equal(1);
  });

  it("are known for no other submission, key or signature", async () => {
    proofs.isRight(submission, code.publicKey, signature);
    const other = generateCode();
    const others: [Submission, string, string][] = [
      [{ ...submission, addresses: ["203.0.113.8/32"] }, code.publicKey, signature],
      [{ ...submission, registry: "other.example" }, code.publicKey, signature],
      [submission, other.publicKey, signature],
      [submission, code.publicKey, signSubmission(submission, other.privateKey)],
    ];
    for (const [sent, key, proof] of others) {
      expect(proofs.isKnown(sent, key, proof)).to.equal(false);
      expect(proofs.isRight(sent, key, proof)).to.equal(false);
      expect(proofs.isKnown(sent, key, proof)).to.equal(false);
    }
  });

  it("cost as much for a signer that is not there, with a key in the place of its own", async () => {
    const dummy = generateCode().publicKey;
    for (const [signer, key] of [
      ["code:ABCDEFGH", code.publicKey],
      ["code:00000000", dummy],
      ["code:00000001", dummy],
    ] as const) {
      [checks, imports] = [0, 0];
      for (let i = 0; i < 3; i++) expect(proofs.isRight({ ...submission, signer }, key, signature)).to.equal(key === code.publicKey);
      // A wrong proof is checked each time, a signer's key is read once.
      expect([imports, checks]).to.deep.equal([1, key === code.publicKey ? 1 : 3]);
    }
  });

  it("follow a signer that has another key now", async () => {
    const next = generateCode();
    proofs.isRight(submission, code.publicKey, signature);
    expect(proofs.isRight(submission, next.publicKey, signSubmission(submission, next.privateKey))).to.equal(true);
    expect(proofs.isRight(submission, next.publicKey, signature)).to.equal(false);
  });

  it("are remembered up to a bound, the newest", async () => {
    const sent = Array.from({ length: MAX_REMEMBERED + 1 }, (_, time) => ({ ...submission, time }));
    const signed = sent.map((one) => signSubmission(one, code.privateKey));
    for (const [at, one] of sent.entries()) proofs.isRight(one, code.publicKey, signed[at] ?? "");
    const known = sent.filter((one, at) => proofs.isKnown(one, code.publicKey, signed[at] ?? ""));
    expect(known).to.have.length(MAX_REMEMBERED);
  });
});
