import { expect } from "chai";
import { ReconnectPlan } from "../../../agent/feed/reconnect.ts";
import { CLOSE } from "../../../lib/feed/limits.ts";

const LOST = { code: null, spreadMs: null };

describe("the plan to connect again", () => {
  it("waits longer each time, to a cap, and from the start again once the registry works", () => {
    const plan = new ReconnectPlan(["a"], () => 1);
    const waits = Array.from({ length: 10 }, () => plan.after(LOST).waitMs);
    expect(waits).to.deep.equal([200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
    plan.works();
    expect(plan.after(LOST).waitMs).to.equal(200);
  });

  it("takes the addresses in turn", () => {
    const plan = new ReconnectPlan(["a", "b"]);
    expect([plan.address, plan.after(LOST).address, plan.after(LOST).address, plan.address]).to.deep.equal(["a", "b", "a", "a"]);
  });

  it("comes back at a random moment of the window that the registry named, without alarm", () => {
    const at = (random: number) => new ReconnectPlan(["a"], () => random).after({ code: CLOSE.shutdown, spreadMs: 5_000 });
    expect([at(0), at(0.5), at(1)]).to.deep.equal([
      { address: "a", waitMs: 0, planned: true },
      { address: "a", waitMs: 2_500, planned: true },
      { address: "a", waitMs: 5_000, planned: true },
    ]);
  });

  it("goes to another address soon when it has one", () => {
    const plan = new ReconnectPlan(["a", "b"], () => 0.5);
    expect(plan.after({ code: CLOSE.shutdown, spreadMs: 5_000 })).to.deep.equal({ address: "b", waitMs: 100, planned: true });
  });

  it("does not spend its growing waits on planned ends", () => {
    const plan = new ReconnectPlan(["a"], () => 1);
    plan.after({ code: CLOSE.shutdown, spreadMs: 5_000 });
    expect(plan.after(LOST).waitMs).to.equal(200);
  });

  it("gives another program with its name half a minute before it takes the feed back", () => {
    const at = (random: number) => new ReconnectPlan(["a"], () => random).after({ code: CLOSE.replaced, spreadMs: null }).waitMs;
    expect([at(0), at(1)]).to.deep.equal([15_000, 30_000]);
  });
});
