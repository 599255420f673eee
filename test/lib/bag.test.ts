import { expect } from "chai";
import { Bag } from "../../lib/bag.ts";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";

describe("a bag", () => {
  it("holds what was put in until it is taken out, the same value as often as it came", () => {
    const bag = new Bag<string>();
    const [a, b, c, again] = ["a", "b", "c", "a"].map((value) => bag.add(value));
    expect(bag.values()).to.deep.equal(["a", "b", "c", "a"]);
    expect([a, c].map((held) => held && bag.remove(held))).to.deep.equal([true, true]);
    expect([bag.size, [...bag.values()].sort()]).to.deep.equal([2, ["a", "b"]]);
    expect(a && bag.remove(a)).to.equal(false);
    expect([again, b].map((held) => held && bag.remove(held))).to.deep.equal([true, true]);
    expect([bag.size, bag.values()]).to.deep.equal([0, []]);
  });

  it("is empty when all was taken out at one time", () => {
    const bag = new Bag<string>();
    const held = bag.add("a");
    bag.add("b");
    expect(bag.empty()).to.deep.equal(["a", "b"]);
    expect([bag.size, bag.remove(held)]).to.deep.equal([0, false]);
  });

  it("keeps nothing of what was taken out from small collections", async () => {
    const stays = await run([BIN.run, "--expose-gc", "test/lib/bag.child.ts"]);
    // All that came through takes 38 MB; in a Set more than 20 MB of it stay.
    expect(Number(stays)).to.be.lessThan(10_000_000);
  });
});
