import { expect } from "chai";
import { parseAgentConfig } from "../../../agent/config.ts";
import { DesiredState } from "../../../agent/desired.ts";
import { FeedClient } from "../../../agent/feed/client.ts";
import { RegistryTime } from "../../../agent/time.ts";
import { Latch } from "../../../lib/latch.ts";
import { silentLog } from "../../../lib/log.ts";
import { FakeClock } from "../fake.ts";

const NOW = 1_000_000_000;
const CONFIG = parseAgentConfig(
  "test",
  JSON.stringify({ name: "host1", registry: { addresses: ["https://c.test"], ca: "-", certificate: "-", key: "-" } }),
);

/** For how long the registry was silent to an agent that starts, and to the same one a second later. */
function silentAtStart(seenMs: number): readonly number[] {
  const clock = new FakeClock(NOW);
  const feed = new FeedClient({
    ...{ config: CONFIG, version: "test", desired: new DesiredState(), time: new RegistryTime(clock, seenMs), clock, log: silentLog },
    ...{ settled: new Latch(), onEffect: () => {}, onRenew: () => {}, acknowledged: () => null },
  });
  const first = feed.silentMs;
  clock.pass(1_000);
  return [first, feed.silentMs];
}

describe("the silence of the registry", () => {
  it("counts from when it was last heard, before a restart too: that makes nobody less stale", () => {
    expect(silentAtStart(NOW - 864_000_000)).to.deep.equal([864_000_000, 864_001_000]);
  });

  it("counts from the start where it was never heard, and where the clock was set back behind what was heard", () => {
    expect(silentAtStart(0)).to.deep.equal([0, 1_000]);
    expect(silentAtStart(NOW + 5_000)).to.deep.equal([0, 1_000]);
  });
});
