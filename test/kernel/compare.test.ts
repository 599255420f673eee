import { expect } from "chai";
import { waitFor } from "../lab/wait.ts";
import { connectTo, makeGatedScene } from "./gate.ts";
import { makeRunningScene } from "./running.ts";

const TIMEOUT_MS = 120_000;
const HOUR_MS = 3_600_000;
const { signal } = new AbortController();

describe("comparing the kernel's elements", () => {
  it("finds what others added, took away and gave another life, and says nothing of what is right", async () => {
    await using scene = await makeGatedScene(0);
    const { target, desired } = scene;
    for (const last of [1, 2, 3]) await scene.admit("ip", `198.51.100.${last}/32`);
    await scene.admit("ipcert", "2001:db8:7::/64");
    await scene.admit("ip", "10.0.0.0/24", 3_000);
    expect(await target.compare(desired, 10, signal)).to.deep.equal({ skipped: [], foreign: [] });
    await scene.nft("add element inet entityos ip_v4_32_a { 192.0.2.66 timeout 1h }");
    await scene.nft("delete element inet entityos ip_v4_32_a { 198.51.100.1 }");
    await scene.nft("delete element inet entityos ip_v4_32_a { 198.51.100.2 }");
    await scene.nft("add element inet entityos ip_v4_32_a { 198.51.100.2 }");
    expect((await target.compare(desired, 10, signal))?.foreign).to.have.members([
      "ip_v4_32_a: 198.51.100.1 is missing",
      "ip_v4_32_a: 198.51.100.2 lives longer than it may",
      "ip_v4_32_a: 192.0.2.66 is none of the registry's",
    ]);
    expect(await target.compare(desired, 2, signal)).to.deep.equal({ skipped: ["ip_v4_32_a"], foreign: [] });
  }).timeout(TIMEOUT_MS);

  it("leads a running agent to set them back and to tell", async () => {
    await using scene = await makeRunningScene(1, { config: { compare: { everySeconds: 1 } } });
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", "198.51.100.1/32");
    await scene.nft(`add element inet entityos ip_v4_32_a { ${device.v4} timeout ${HOUR_MS}ms }`);
    expect((await connectTo(device, scene.host.v4)).outcome).to.equal("open");
    const told = async () => (await scene.alarms()).includes("elements_tampered") || undefined;
    await waitFor("the alarm", told, { timeoutMs: 40_000 });
    await waitFor("the element to be gone", async () => ((await connectTo(device, scene.host.v4)).outcome === "silent" ? true : undefined));
  }).timeout(TIMEOUT_MS);
});
