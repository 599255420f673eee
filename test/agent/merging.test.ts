import { expect } from "chai";
import { mergeDifferences, sizeOf } from "../../agent/merging.ts";
import type { Differences } from "../../agent/target.ts";

type Body = string | null;
const certificate = (applied: Body, wanted: Body): Differences => ({
  rules: [],
  trust: [{ target: "certificate", id: "c1", applied, wanted }],
});
const merged = (first: Differences, then: Differences) =>
  mergeDifferences(first, then).trust.map(({ applied, wanted }) => [applied, wanted]);

describe("differences that wait for a target that is late", () => {
  it("are one for each entry, the last word of it", () => {
    const [first, then] = [
      { rules: [{ lane: "ip", prefix: "203.0.113.7/32", applied: null, wanted: 5 }], trust: certificate(null, "a").trust },
      { rules: [{ lane: "ipcert", prefix: "203.0.113.7/32", applied: null, wanted: 6 }], trust: certificate("a", "b").trust },
    ] as const;
    const both = mergeDifferences(first, then);
    expect(both.rules).to.deep.equal([...first.rules, ...then.rules]);
    expect(both.trust).to.deep.equal([{ target: "certificate", id: "c1", applied: "a", wanted: "b" }]);
    expect(sizeOf(both)).to.equal(3);
  });

  it("say of what came and went that it goes, and of what is as it was that it changed: the target may have seen either", () => {
    expect(merged(certificate(null, "a"), certificate("a", null))).to.deep.equal([["a", null]]);
    expect(merged(certificate("a", "b"), certificate("b", "a"))).to.deep.equal([["a", "a"]]);
    expect(merged(certificate("a", null), certificate(null, "a"))).to.deep.equal([["a", "a"]]);
    expect(merged(certificate("a", "b"), certificate("b", null))).to.deep.equal([["a", null]]);
  });

  it("are as they are where there is nothing to merge", () => {
    const nothing: Differences = { rules: [], trust: [] };
    expect(mergeDifferences(nothing, certificate(null, "a"))).to.deep.equal(certificate(null, "a"));
    expect(mergeDifferences(certificate(null, "a"), nothing)).to.deep.equal(certificate(null, "a"));
  });
});
