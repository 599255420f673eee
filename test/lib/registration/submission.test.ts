import { expect } from "chai";
import fc from "fast-check";
import { publicKeyFromRaw } from "../../../lib/registration/code.ts";
import {
  canonicalSubmission,
  type Submission,
  signSubmission,
  submissionDigest,
  verifySubmission,
} from "../../../lib/registration/submission.ts";
import { problemCode } from "../problem-code.ts";
import { code, submission } from "./given.ts";

const publicKey = publicKeyFromRaw(code.publicKey);
const SIGNATURE = "XKYhExqmn4MzBJNV6YRSYlhZZaprvaCqRQ75_6iZkHsG6RX0-Sb2_twMKnHpwZGwLrVdVzTkAnWw20lHmOriDw";

/** Every field of the submission with another value. */
const OTHER: { readonly [Field in keyof Submission]: Submission[Field] } = {
  action: "renew",
  registry: "register.example.net",
  signer: "code:ABCDEFGJ",
  addresses: ["203.0.113.7/32", "observed"],
  csrDigest: "c".repeat(64),
  deviceKey: code.publicKey,
  nonce: "AAAAAAAAAAAAAAAAAAAAAQ",
  time: 1_795_000_000_001,
};

describe("the canonical submission", () => {
  it("is these bytes, for good", () => {
    expect(canonicalSubmission(submission).toString()).to.equal(
      [
        "entityos-submission-v1",
        "action:register",
        "registry:register.example",
        "signer:code:ABCDEFGH",
        "addresses:observed,203.0.113.7/32",
        "csr:-",
        "device-key:-",
        "nonce:AAAAAAAAAAAAAAAAAAAAAA",
        "time:1795000000000",
        "",
      ].join("\n"),
    );
    expect(submissionDigest(submission)).to.equal("3591b3b7e7cdbc598c905f8f094787f3888414023804087c18f2dbe606467756");
  });

  it("writes the CSR's digest and the device key where there are some", () => {
    const text = canonicalSubmission({ ...submission, csrDigest: OTHER.csrDigest, deviceKey: OTHER.deviceKey }).toString();
    expect(text).to.include(`\ncsr:${"c".repeat(64)}\ndevice-key:${code.publicKey}\n`);
  });

  it("has this signature by this code, for good", () => {
    expect(signSubmission(submission, code.privateKey)).to.equal(SIGNATURE);
    expect(verifySubmission(submission, publicKey, SIGNATURE)).to.equal(true);
  });

  for (const field of Object.keys(OTHER) as (keyof Submission)[]) {
    it(`is another with another ${field}, so that the proof does not fit it`, () => {
      const changed = { ...submission, [field]: OTHER[field] };
      expect(verifySubmission(changed, publicKey, SIGNATURE)).to.equal(false);
      expect(submissionDigest(changed)).not.to.equal(submissionDigest(submission));
    });
  }

  for (const [what, signature] of [
    ["an empty signature", ""],
    ["a short one", SIGNATURE.slice(2)],
    ["a long one", `${SIGNATURE}AAAA`],
    ["zeros", "A".repeat(86)],
    ["what is no base64url", "%".repeat(86)],
  ] as const) {
    it(`is not proven by ${what}`, () => {
      expect(verifySubmission(submission, publicKey, signature)).to.equal(false);
    });
  }

  for (const [what, part] of [
    ["a line break in an address", { addresses: ["observed\ncsr:-"] }],
    ["a comma in an address", { addresses: ["observed,203.0.113.7/32"] }],
    ["an empty address", { addresses: [""] }],
    ["a space in the registry's name", { registry: "register .example" }],
    ["a carriage return in the nonce", { nonce: "A\r" }],
    ["letters beyond ASCII", { signer: "code:ÄBCDEFGH" }],
    ["the sign for an absent value in place of one", { deviceKey: "-" }],
    ["a time that is not whole", { time: 1.5 }],
    ["a time beyond what is exact", { time: 2 ** 53 }],
  ] as const) {
    it(`refuses ${what} with submission_text`, () => {
      expect(problemCode(() => canonicalSubmission({ ...submission, ...part }))).to.equal("submission_text");
    });
  }

  it("differs wherever two submissions differ", () => {
    const text = fc.string({ unit: fc.constantFrom(..."ab:-./=_"), minLength: 1, maxLength: 4 }).filter((value) => value !== "-");
    const any = fc.record({
      action: fc.constantFrom("register", "renew", "leave", "status"),
      registry: text,
      signer: text,
      addresses: fc.array(text, { maxLength: 3 }),
      csrDigest: fc.option(text),
      deviceKey: fc.option(text),
      nonce: text,
      time: fc.nat({ max: 9 }),
    }) satisfies fc.Arbitrary<Submission>;
    fc.assert(
      fc.property(any, any, (one, other) => {
        expect(canonicalSubmission(one).equals(canonicalSubmission(other))).to.equal(JSON.stringify(one) === JSON.stringify(other));
      }),
    );
  });
});
