import { expect } from "chai";
import { Latch } from "../../lib/latch.ts";

const state = (work: Promise<unknown>): Promise<unknown> => Promise.race([work.then(() => "through"), turn().then(() => "waits")]);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a latch", () => {
  it("is open at first", async () => {
    const latch = new Latch();
    expect(latch.closed).to.equal(false);
    expect(await state(latch.passed())).to.equal("through");
  });

  it("holds all who come while it is closed, and lets them through together", async () => {
    const latch = new Latch();
    latch.close();
    latch.close();
    const waiting = [latch.passed(), latch.passed()];
    expect(latch.closed).to.equal(true);
    expect(await Promise.all(waiting.map(state))).to.deep.equal(["waits", "waits"]);
    latch.open();
    expect(await Promise.all(waiting.map(state))).to.deep.equal(["through", "through"]);
  });

  it("holds who waited when it closes again before they went through", async () => {
    const latch = new Latch();
    latch.close();
    const waiting = latch.passed();
    latch.open();
    latch.close();
    expect(await state(waiting)).to.equal("waits");
    latch.open();
    expect(await state(waiting)).to.equal("through");
  });

  it("may be opened when it is open", async () => {
    const latch = new Latch();
    latch.open();
    expect(await state(latch.passed())).to.equal("through");
  });
});
