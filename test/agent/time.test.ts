import { expect } from "chai";
import { RegistryTime } from "../../agent/time.ts";
import { FakeClock } from "./fake.ts";

describe("registry time", () => {
  it("is the host's clock before the feed spoke, and never before what was seen", () => {
    expect(new RegistryTime(new FakeClock(5_000), 4_000).now()).to.equal(5_000);
    expect(new RegistryTime(new FakeClock(5_000), 9_000).now()).to.equal(9_000);
  });

  it("runs on the monotonic clock once the feed spoke, whatever the wall clock does", () => {
    const clock = new FakeClock(5_000);
    const time = new RegistryTime(clock);
    time.observe(7_000);
    clock.pass(250);
    clock.wallMs += 3_600_000;
    expect(time.now()).to.equal(7_250);
    clock.wallMs -= 7_200_000;
    expect(time.now()).to.equal(7_250);
  });

  it("never goes back when a message was long on its way or the registry's clock was set back", () => {
    const clock = new FakeClock(5_000);
    const time = new RegistryTime(clock);
    time.observe(7_000);
    clock.pass(1_000);
    time.observe(7_500);
    expect(time.now()).to.equal(8_000);
    expect(time.seenMs).to.equal(8_000);
    const later = new RegistryTime(new FakeClock(1_000), 9_000);
    later.observe(2_000);
    expect(later.now()).to.equal(9_000);
  });

  it("follows the registry back from a host clock that runs ahead, since only registry time is kept", () => {
    const time = new RegistryTime(new FakeClock(3_600_000));
    time.observe(1_000);
    expect(time.now()).to.equal(1_000);
    expect(time.skewMs).to.equal(-3_599_000);
    expect(time.seenMs).to.equal(1_000);
  });

  it("tells when the registry's clock was ahead once: its messages are from before what runs here, until they caught up", () => {
    const clock = new FakeClock(100_000);
    const time = new RegistryTime(clock);
    const behind = [100_000, 160_000, 155_000, 154_999].map((registryMs) => {
      time.observe(registryMs);
      return [time.behindMs, time.registryBehind];
    });
    expect(behind).to.deep.equal([
      [0, false],
      [0, false],
      [5_000, false],
      [5_001, true],
    ]);
    const restarted = new RegistryTime(clock, time.seenMs);
    restarted.observe(100_000);
    expect(restarted.registryBehind).to.equal(true);
    restarted.observe(160_001);
    expect(restarted.registryBehind).to.equal(false);
  });

  it("calls the clocks skewed beyond five seconds, either way", () => {
    const time = new RegistryTime(new FakeClock(100_000));
    const skewed = [105_000, 105_001, 100_000, 94_999].map((registryMs) => {
      time.observe(registryMs);
      return time.skewed;
    });
    expect(skewed).to.deep.equal([false, true, false, true]);
  });
});
