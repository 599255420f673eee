import { expect } from "chai";
import fc from "fast-check";
import { ruleLine, StateDigest, trustLine } from "../../../lib/feed/digest.ts";

const line = fc.string({ maxLength: 20 });

describe("the state digest", () => {
  it("is zero when nothing is held", () => {
    expect(new StateDigest().hex).to.equal("00000000000000000000000000000000");
  });

  it("has these values, for good", () => {
    const digest = new StateDigest();
    digest.add(ruleLine("ip", "203.0.113.7/32", 1_795_000_000_000));
    expect(digest.hex).to.equal("c26cebaeaf6d1ef4f858424537fc3dbb");
    digest.add(ruleLine("ipcert", "2001:db8::/64", 1_795_000_000_001));
    expect(digest.hex).to.equal("24c5f1cac632e5d26d47c518b2e65c98");
    digest.add(trustLine({ kind: "trust.set", target: "ca", id: "root", body: "PEM" }));
    expect(digest.hex).to.equal("b14303cc1393ae72d3fdc8c301279636");
  });

  it("does not depend on the order", () => {
    fc.assert(
      fc.property(fc.uniqueArray(line), fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (lines, random) => {
        const shuffled = lines.map((text) => ({ text, at: random.next().value })).sort((a, b) => a.at - b.at);
        expect(sum(shuffled.map(({ text }) => text))).to.equal(sum(lines));
      }),
    );
  });

  it("kept change by change equals one built anew", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.constantFrom(..."abcdef"))), (steps) => {
        const held = new Set<string>();
        const digest = new StateDigest();
        for (const [add, text] of steps) {
          if (add === held.has(text)) continue;
          if (add) held.add(text);
          else held.delete(text);
          digest[add ? "add" : "remove"](text);
        }
        expect(digest.hex).to.equal(sum([...held]));
      }),
    );
  });

  it("goes on from its own text", () => {
    const digest = new StateDigest(sum(["a", "b"]));
    digest.remove("a");
    expect(digest.hex).to.equal(sum(["b"]));
  });

  it("tells apart lane, prefix, expiry, trust and their values", () => {
    const lines = [
      ruleLine("ip", "203.0.113.7/32", 1),
      ruleLine("ipcert", "203.0.113.7/32", 1),
      ruleLine("ip", "203.0.113.8/32", 1),
      ruleLine("ip", "203.0.113.7/32", 2),
      trustLine({ kind: "trust.set", target: "ca", id: "a", body: "a" }),
      trustLine({ kind: "trust.set", target: "crl", id: "a", body: "a" }),
      trustLine({ kind: "trust.set", target: "ca", id: "b", body: "a" }),
      trustLine({ kind: "trust.set", target: "ca", id: "a", body: "b" }),
    ];
    expect(new Set(lines.map((text) => sum([text]))).size).to.equal(lines.length);
  });
});

function sum(lines: readonly string[]): string {
  const digest = new StateDigest();
  for (const text of lines) digest.add(text);
  return digest.hex;
}
