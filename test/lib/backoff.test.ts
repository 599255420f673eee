import { expect } from "chai";
import { Backoff } from "../../lib/backoff.ts";

const waits = (random: number, count: number): number[] => {
  const backoff = new Backoff({ minMs: 100, maxMs: 1_000, random: () => random });
  return Array.from({ length: count }, () => backoff.next());
};

describe("backoff", () => {
  it("doubles up to the cap", () => {
    expect(waits(1, 6)).to.deep.equal([100, 200, 400, 800, 1_000, 1_000]);
  });

  it("spreads each wait over its upper half, at the cap too", () => {
    expect(waits(0, 6)).to.deep.equal([50, 100, 200, 400, 500, 500]);
    expect(waits(0.5, 6)).to.deep.equal([75, 150, 300, 600, 750, 750]);
  });

  it("stays at the cap however often it is asked", () => {
    expect(
      waits(1, 5_000)
        .slice(4)
        .every((ms) => ms === 1_000),
    ).to.equal(true);
  });

  it("starts over when reset", () => {
    const backoff = new Backoff({ minMs: 100, maxMs: 1_000, random: () => 1 });
    backoff.next();
    backoff.next();
    backoff.reset();
    expect(backoff.next()).to.equal(100);
  });

  it("takes chance by default", () => {
    const backoff = new Backoff({ minMs: 1 << 20, maxMs: 1 << 20 });
    expect(new Set(Array.from({ length: 20 }, () => backoff.next())).size).to.be.greaterThan(1);
  });
});
