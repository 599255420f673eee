import { expect } from "chai";
import { waitFor } from "../lab/wait.ts";
import { head } from "../registry/feed/setup.ts";
import { captureOf, endsOf, provoke, sentTo } from "./answers.ts";
import { TCP_FLAG, tcp } from "./frames.ts";
import { connectTo, makeGatedScene } from "./gate.ts";
import { FLOOR, KEPT_OPEN, makeRunningScene, nftPids, type RunningScene } from "./running.ts";

const TIMEOUT_MS = 120_000;
const OPEN = { outcome: "open", label: "ip" };

/** The one nft of the agent with these words. */
function pidOf(scene: RunningScene, words: string): number {
  const [pid = 0, ...more] = scene.nftPids(words);
  expect(more, "one nft").to.deep.equal([]);
  return pid;
}

describe("an agent whose nft", () => {
  it("hangs kills it and makes the change by another one, without a resync, and nobody is let in meanwhile", async () => {
    await using scene = await makeRunningScene(2);
    const [device = scene.host, stranger = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    await using capture = await captureOf(scene, stranger);
    const pid = pidOf(scene, KEPT_OPEN);
    process.kill(pid, "SIGSTOP");
    await scene.revoke("ip", `${device.v4}/32`);
    expect(await scene.elements("ip_v4_32_a")).to.deep.equal([]);
    expect((await connectTo(device, scene.host.v4)).outcome).to.equal("silent");
    expect(pidOf(scene, KEPT_OPEN)).not.to.equal(pid);
    await provoke(capture, stranger, [tcp(endsOf(stranger, scene.host, 4), 40_000, 443, TCP_FLAG.syn)]);
    expect(sentTo(capture, stranger)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("hangs over a cut has it made by another one", async () => {
    await using scene = await makeGatedScene(0);
    for (const pid of nftPids(KEPT_OPEN)) process.kill(pid, "SIGSTOP");
    const { signal } = new AbortController();
    await scene.target.cut([{ family: 4, address: "198.51.100.7", port: 50_000 }], signal);
    expect(await scene.nft("list set inet entityos cut4")).to.match(/elements = \{ 198\.51\.100\.7 \. 50000 /);
  }).timeout(TIMEOUT_MS);

  it("is killed again and again under a stream of changes loses none of them", async () => {
    await using scene = await makeRunningScene(0);
    const expected: string[] = [];
    let last = 0;
    for (let i = 0; i < 60; i++) {
      const prefix = `198.51.100.${i}/32`;
      last = await scene.control.commit({ kind: "rule.set", lane: "ip", prefix, expiresAt: Date.now() + 3_600_000 });
      if (i % 3 === 0) last = await scene.control.commit({ kind: "rule.remove", lane: "ip", prefix });
      else expected.push(`198.51.100.${i}`);
      if (i % 6 === 0) for (const pid of scene.nftPids(KEPT_OPEN)) process.kill(pid, "SIGKILL");
    }
    const { digest } = await scene.inForce(last);
    const slot = (await scene.nft("list sets inet")).includes("ip_v4_32_a") ? "a" : "b";
    expect(await scene.elements(`ip_v4_32_${slot}`)).to.have.members(expected);
    expect(digest).to.equal((await head(scene.control)).digest);
  }).timeout(TIMEOUT_MS);

  for (const [what, signal] of [
    ["is killed", "SIGKILL"],
    ["hangs", "SIGSTOP"],
  ] as const) {
    it(`holds the floor and ${what} makes it again, while strangers get no answer and the registered are served`, async () => {
      await using scene = await makeRunningScene(2, { notifier: { watchdogMs: 300 } });
      const [device = scene.host, stranger = scene.host] = scene.devices;
      await scene.admit("ip", `${device.v4}/32`);
      await using capture = await captureOf(scene, stranger);
      await device.actor.ask("startBarrage", { host: scene.host.v4, port: 443, timeoutMs: 2_000 });
      await stranger.actor.ask("startBarrage", { host: scene.host.v4, port: 443, timeoutMs: 20 });
      const before = pidOf(scene, FLOOR);
      process.kill(before, signal);
      await waitFor("another holder", () => scene.nftPids(FLOOR).find((pid) => pid !== before));
      await waitFor("the floor to stand", async () => ((await scene.status()).floor ? true : undefined));
      expect(await scene.nft("list tables inet")).to.include("entityos_floor");
      expect((await stranger.actor.ask("stopBarrage", {})).opened).to.equal(0);
      const { opened, failed } = await device.actor.ask("stopBarrage", {});
      expect([opened > 0, failed]).to.deep.equal([true, 0]);
      expect(sentTo(capture, stranger)).to.deep.equal([]);
      expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN);
    }).timeout(TIMEOUT_MS);
  }

  it("does not answer is not alive to systemd until another one does", async () => {
    let pings = 0;
    let heldUp: Promise<void> | null = null;
    const alive = async () => {
      pings++;
      await heldUp;
    };
    await using scene = await makeRunningScene(0, { notifier: { watchdogMs: 150, alive } });
    await waitFor("a ping", () => pings > 1 || undefined);
    // The round that is under way ends here, so that what is counted afterwards began with a hung nft.
    const held = Promise.withResolvers<void>();
    heldUp = held.promise;
    const before = pings;
    await waitFor("the next ping", () => pings > before || undefined);
    const pid = pidOf(scene, KEPT_OPEN);
    process.kill(pid, "SIGSTOP");
    const counted = pings;
    heldUp = null;
    held.resolve();
    await waitFor("the alarm", async () => (await scene.alarms()).includes("not_answering") || undefined);
    expect(pings).to.equal(counted);
    await waitFor("pings again", () => pings > counted || undefined);
    expect(pidOf(scene, KEPT_OPEN)).not.to.equal(pid);
    await waitFor("no alarm", async () => (await scene.alarms()).length === 0 || undefined);
  }).timeout(TIMEOUT_MS);
});
