import { expect } from "chai";
import { NftError, type NftErrorKind, readNftError } from "../../../agent/nft/error.ts";

/** As nft 1.0.6 printed them. */
const PRINTED: readonly (readonly [NftErrorKind, string])[] = [
  [
    "missing",
    "Error: Could not process rule: No such file or directory\ndelete element inet entityos s { 203.0.113.9 }\n      ^^^^^^^^^^^",
  ],
  ["missing", "internal:0:0-0: Error: No such file or directory\n"],
  ["missing", "internal:0:0-0: Error: No such file or directory; did you mean set ‘s2’ in table inet ‘entityos’?"],
  ["syntax", "Error: syntax error, unexpected newline, expecting string\nadd foo\n       ^"],
  ["syntax", "Error: syntax error, unexpected '{'\n{\"bad File exists"],
  ["exists", "Error: Could not process rule: File exists\nadd set inet t s { type ipv6_addr; }\n               ^"],
  ["busy", "Error: Could not process rule: Device or resource busy\ndelete set inet t s\n                  ^"],
  ["permission", "Error: Could not process rule: Operation not permitted\ndelete table inet entityos_floor\n"],
  ["permission", "netlink: Error: cache initialization failed: Operation not permitted"],
  ["full", "/dev/fd/3:1:1-9: Error: Could not process rule: Too many open files in system\n"],
  ["full", "Error: Could not process rule: Message too long\n"],
  ["unusable", "Error: JSON support not compiled-in"],
  ["unknown", "Error: Could not process rule: Wheel fell off\n"],
  ["unknown", ""],
];

describe("what nft prints for a script that failed", () => {
  for (const [kind, text] of PRINTED) {
    it(`is '${kind}' for '${text.split("\n")[0]}'`, () => {
      expect(readNftError(text).kind).to.equal(kind);
    });
  }
  it("becomes a message of one short line", () => {
    expect(readNftError(PRINTED[0]?.[1] ?? "").message).to.equal("Could not process rule: No such file or directory");
    expect(readNftError(`Error: ${"x".repeat(9_999)}`).message.length).to.equal(400);
    expect(readNftError("").message).to.equal("nft failed without a word");
  });
  it("says whether the same script may pass later", () => {
    const retried = PRINTED.map(([kind]) => kind).filter((kind) => new NftError(kind, "").shouldRetry());
    expect(new Set(retried)).to.deep.equal(new Set(["busy", "full"]));
    expect(new NftError("gone", "").shouldRetry()).to.equal(true);
    expect(new NftError("timeout", "").shouldRetry()).to.equal(true);
  });
});
