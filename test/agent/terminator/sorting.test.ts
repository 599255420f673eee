import { expect } from "chai";
import { SmallTrust, sortChanges } from "../../../agent/terminator/desired-trust.ts";

const FINGERPRINT = "a".repeat(64);
const certificate = (applied: string | null, wanted: string | null) =>
  sortChanges([{ target: "certificate", id: FINGERPRINT, applied, wanted }], new SmallTrust());

describe("differences of trust for HAProxy", () => {
  it("name a certificate that came and went as one that is gone: the maps may have been written in between", () => {
    expect(certificate(null, null)).to.deep.include({ gone: [FINGERPRINT], registered: [], altered: [] });
  });
});
