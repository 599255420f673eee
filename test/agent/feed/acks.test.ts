import { expect } from "chai";
import { AckPacer } from "../../../agent/feed/acks.ts";
import { FEED } from "../../../lib/feed/limits.ts";

describe("acknowledgements", () => {
  it("go out at once, then one an interval for all that came in it, with the slowest apply", async () => {
    const sent: { at: number; slowestMs: number }[] = [];
    const second = Promise.withResolvers<void>();
    const pacer = new AckPacer((slowestMs) => {
      sent.push({ at: performance.now(), slowestMs });
      if (sent.length === 2) second.resolve();
    });
    pacer.applied(1);
    for (const tookMs of [2, 7, 3]) pacer.applied(tookMs);
    expect(sent.map((one) => one.slowestMs)).to.deep.equal([1]);
    await second.promise;
    pacer.stop();
    expect(sent.map((one) => one.slowestMs)).to.deep.equal([1, 7]);
    // A timer may fire up to a millisecond early by this clock.
    expect((sent[1]?.at ?? 0) - (sent[0]?.at ?? 0)).to.be.at.least(FEED.ackIntervalMs - 1);
  });

  it("are none after stop, and the next begins anew", () => {
    const sent: number[] = [];
    const pacer = new AckPacer((slowestMs) => sent.push(slowestMs));
    pacer.applied(1);
    pacer.applied(9);
    pacer.stop();
    pacer.applied(2);
    pacer.stop();
    expect(sent).to.deep.equal([1, 9]);
  });
});
