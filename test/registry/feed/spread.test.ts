import { expect } from "chai";
import { systemClock } from "../../../lib/clock.ts";
import { createMetrics } from "../../../lib/metrics.ts";
import { type Spread, SpreadTimer } from "../../../registry/feed/spread.ts";
import { set, startAgent, until } from "./agent.ts";
import { startControl } from "./setup.ts";

/** A timer by a clock that the test moves, and what it told. */
function timing() {
  const told: Spread[] = [];
  const clock = { at: 0, now: () => 0, monotonic: () => clock.at };
  return { clock, told, timer: new SpreadTimer(clock, (spread) => told.push(spread)) };
}

describe("how long a revision takes to every host", () => {
  it("is the time from its commit to the last acknowledgement", () => {
    const { clock, told, timer } = timing();
    timer.head(7, () => ["a", "b"]);
    clock.at = 5;
    timer.acknowledged("a", 7, () => []);
    clock.at = 12;
    timer.acknowledged("b", 8, () => []);
    expect(told).to.deep.equal([{ revision: 7, agents: 2, ms: 12 }]);
    expect(timer.last).to.deep.equal(told[0]);
  });

  it("is taken of the newest next, when the one that was timed is everywhere", () => {
    const { clock, told, timer } = timing();
    timer.head(7, () => ["a"]);
    clock.at = 1;
    timer.head(8, () => ["a"]);
    clock.at = 3;
    timer.head(9, () => ["a"]);
    clock.at = 4;
    timer.acknowledged("a", 7, () => ["a"]);
    clock.at = 10;
    timer.acknowledged("a", 9, () => []);
    expect(told).to.deep.equal([
      { revision: 7, agents: 1, ms: 4 },
      { revision: 9, agents: 1, ms: 7 },
    ]);
  });

  it("waits for no agent that left, and counts no older revision", () => {
    const { told, timer } = timing();
    timer.head(7, () => ["a"]);
    timer.acknowledged("a", 6, () => []);
    timer.left("a");
    timer.head(8, () => ["b"]);
    timer.acknowledged("b", 8, () => []);
    expect(told.map(({ revision }) => revision)).to.deep.equal([8]);
  });

  it("is given up after a minute, and the newest is timed instead", () => {
    const { clock, told, timer } = timing();
    timer.head(7, () => ["a", "b"]);
    clock.at = 60_001;
    timer.head(8, () => ["b"]);
    clock.at = 60_003;
    timer.acknowledged("b", 8, () => []);
    expect(told).to.deep.equal([{ revision: 8, agents: 1, ms: 2 }]);
  });

  it("is told to Prometheus, with what agents say of their applies and how their feeds go", async () => {
    const metrics = createMetrics({ process: false });
    await using control = await startControl(undefined, systemClock, metrics);
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => control.feed.agents()[0]?.phase === "live");
    await control.commit(set(1));
    await until(() => control.feed.spread() !== null);
    expect(control.feed.spread()).to.deep.include({ revision: 1, agents: 1 });
    expect(agent.desired.revision).to.equal(1);
    const text = await metrics.text();
    expect(text).to.match(/^entityos_feed_agents\{phase="live"\} 1$/m);
    expect(text).to.match(/^entityos_feed_spread_seconds_count 1$/m);
    expect(text).to.match(/^entityos_feed_apply_seconds_count [1-9]/m);
  });
});
