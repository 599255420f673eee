import { expect } from "chai";
import { waitFor } from "../lab/wait.ts";
import { connectTo } from "./gate.ts";
import { makeRunningScene } from "./running.ts";

const TIMEOUT_MS = 120_000;
const HOUR_MS = 3_600_000;

describe("an agent whose host's clock is an hour off", () => {
  for (const [what, offMs] of [
    ["ahead", HOUR_MS],
    ["behind", -HOUR_MS],
  ] as const) {
    it(`${what}, from the start and by a step while it runs, gives lives by the registry's time and tells`, async () => {
      let now = offMs;
      const clock = { now: () => Date.now() + now, monotonic: () => performance.now() };
      await using scene = await makeRunningScene(1, { clock });
      const [device = scene.host] = scene.devices;
      await scene.admit("ip", `${device.v4}/32`);
      now = 0;
      await waitFor("the clocks to meet", async () => (await scene.alarms()).length === 0 || undefined);
      now = offMs;
      await waitFor("the alarm", async () => (await scene.alarms()).includes("clock_skew") || undefined);
      await scene.admit("ip", "198.51.100.1/32");
      const lives = [...(await scene.nft("list set inet entityos ip_v4_32_a")).matchAll(/timeout (\S+) expires/g)].map(([, life]) => life);
      expect(lives).to.have.length(2);
      for (const life of lives) expect(life).to.match(/^(1h|59m\d+s)/);
      expect((await connectTo(device, scene.host.v4)).outcome).to.equal("open");
    }).timeout(TIMEOUT_MS);
  }

  it("has nobody in the kernel beyond their life, with the agent stopped", async () => {
    await using scene = await makeRunningScene(1);
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`, 4_000);
    await scene.stop();
    await waitFor("the element to end", async () => ((await scene.elements("ip_v4_32_a")).length === 0 ? true : undefined));
    expect((await connectTo(device, scene.host.v4)).outcome).to.equal("silent");
  }).timeout(TIMEOUT_MS);
});
