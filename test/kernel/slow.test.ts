import { expect } from "chai";
import { waitFor } from "../lab/wait.ts";
import { head } from "../registry/feed/setup.ts";
import { captureOf, sentTo } from "./answers.ts";
import { connectTo } from "./gate.ts";
import { makeRunningScene } from "./running.ts";
import { SlowNft } from "./slow.ts";

/** Longer than an nft is waited for that answers as fast as nft does. */
const DELAY_S = 3;
const TIMEOUT_MS = 120_000;

describe("an agent whose nft takes seconds for each change", () => {
  it("loses none, lets nobody in, is alive all the time and says how long it takes", async () => {
    using slow = new SlowNft();
    let pings = 0;
    const alive = async () => void pings++;
    await using scene = await makeRunningScene(2, { nft: slow.folder, notifier: { watchdogMs: 300, alive } });
    const [device = scene.host, stranger = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    await using capture = await captureOf(scene, stranger);
    await stranger.actor.ask("startBarrage", { host: scene.host.v4, port: 443, timeoutMs: 20 });
    slow.delay(DELAY_S);
    const before = pings;
    const rule = { kind: "rule.set", lane: "ip", expiresAt: Date.now() + 3_600_000 } as const;
    const alarms = new Set<string>();
    let mostPending = 0;
    for (const prefix of ["198.51.100.1/32", "198.51.100.2/32", "198.51.100.0/28"]) {
      const revision = await scene.control.commit({ ...rule, prefix });
      const inForce = async () => {
        const status = await scene.status();
        for (const { name } of status.alarms) alarms.add(name);
        mostPending = Math.max(mostPending, status.pending);
        return status.revision >= revision || undefined;
      };
      await waitFor(`${prefix} to be in force`, inForce, { timeoutMs: 60_000 });
    }
    expect((await connectTo(device, scene.host.v4)).outcome).to.equal("open");
    const removed = await scene.control.commit({ kind: "rule.remove", lane: "ip", prefix: `${device.v4}/32` });
    const { lastApply, digest } = await waitFor(
      "the revocation to be in force",
      async () => {
        const status = await scene.status();
        return status.revision >= removed ? status : undefined;
      },
      { timeoutMs: 60_000 },
    );
    expect((await connectTo(device, scene.host.v4)).outcome).to.equal("silent");
    expect(lastApply?.tookMs).to.be.above(DELAY_S * 1_000);
    expect(digest).to.equal((await head(scene.control)).digest);
    expect([...alarms]).to.deep.equal(["apply_slow"]);
    expect(mostPending).to.be.above(0);
    expect(pings).to.be.above(before + 2);
    expect((await stranger.actor.ask("stopBarrage", {})).opened).to.equal(0);
    expect(sentTo(capture, stranger)).to.deep.equal([]);
    expect(await scene.elements("ip_v4_32_a")).to.deep.equal(["198.51.100.1", "198.51.100.2"]);
    expect(await scene.elements("ip_v4_28_a")).to.deep.equal(["198.51.100.0"]);
  }).timeout(TIMEOUT_MS);
});
