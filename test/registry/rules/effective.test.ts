import { expect } from "chai";
import fc from "fast-check";
import { effectiveExpiry, ruleChange } from "../../../registry/rules/effective.ts";

describe("the effective rule of a prefix", () => {
  it("lives until the latest expiry of its live grants", () => {
    const grants = [
      { expiresAt: 50, endedAt: null },
      { expiresAt: 70, endedAt: null },
      { expiresAt: 90, endedAt: 5 },
    ];
    expect(effectiveExpiry(grants, 10)).to.equal(70);
    expect(effectiveExpiry(grants, 69)).to.equal(70);
    expect(effectiveExpiry(grants, 70)).to.equal(null);
    expect(effectiveExpiry([], 0)).to.equal(null);
  });

  it("changes only when its expiry does", () => {
    expect(ruleChange("ip", "8.8.8.8/32", null, null)).to.equal(null);
    expect(ruleChange("ip", "8.8.8.8/32", 7, 7)).to.equal(null);
    expect(ruleChange("ip", "8.8.8.8/32", null, 7)).to.deep.equal({ kind: "rule.set", lane: "ip", prefix: "8.8.8.8/32", expiresAt: 7 });
    expect(ruleChange("ipcert", "8.8.8.8/32", 9, 7)).to.deep.equal({
      kind: "rule.set",
      lane: "ipcert",
      prefix: "8.8.8.8/32",
      expiresAt: 7,
    });
    expect(ruleChange("ip", "8.8.8.8/32", 9, null)).to.deep.equal({ kind: "rule.remove", lane: "ip", prefix: "8.8.8.8/32" });
  });

  const grant = fc.record({ expiresAt: fc.nat(100), endedAt: fc.option(fc.nat(100)) });

  it("is there exactly while one live grant holds it, and outlives none of them", () => {
    fc.assert(
      fc.property(fc.array(grant, { maxLength: 12 }), fc.nat(100), (grants, now) => {
        const live = grants.filter(({ expiresAt, endedAt }) => endedAt === null && expiresAt > now);
        const expiry = effectiveExpiry(grants, now);
        expect(expiry !== null).to.equal(live.length > 0);
        if (expiry === null) return;
        expect(live.some(({ expiresAt }) => expiresAt === expiry)).to.equal(true);
        expect(live.every(({ expiresAt }) => expiresAt <= expiry)).to.equal(true);
      }),
    );
  });

  it("does not depend on the order of the grants", () => {
    fc.assert(
      fc.property(fc.array(grant, { maxLength: 12 }), fc.nat(100), fc.func(fc.integer()), (grants, now, order) => {
        const shuffled = grants.toSorted((a, b) => order(a) - order(b));
        expect(effectiveExpiry(shuffled, now)).to.equal(effectiveExpiry(grants, now));
      }),
    );
  });
});
