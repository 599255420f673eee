import { expect } from "chai";
import { type MonitorOptions, type StructureMonitor, startMonitor } from "../../agent/nft/monitor.ts";
import { removeGate } from "../../agent/nft/target.ts";
import { silentLog } from "../../lib/log.ts";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { connectTo, type GatedScene, makeGatedScene } from "./gate.ts";

const TIMEOUT_MS = 120_000;

describe("a resync", () => {
  it("refuses no connection of the registered while a large table is renewed under them", async () => {
    await using scene = await makeGatedScene(1, { newConnections: { perSecond: 100_000, burst: 100_000 } });
    const [device = scene.host] = scene.devices;
    load(scene, 30_000);
    scene.desired.load({ lane: "ip", prefix: `${device.v4}/32`, expiresAt: Date.now() + 3_600_000 });
    await scene.resync();
    await device.actor.ask("startBarrage", { host: scene.host.v4, port: 443, timeoutMs: 900 });
    for (let round = 0; round < 4; round++) await scene.resync();
    const { opened, failed } = await device.actor.ask("stopBarrage", {});
    expect(failed).to.equal(0);
    expect(opened).to.be.greaterThan(50);
  }).timeout(TIMEOUT_MS);

  it("brings back what others took away and takes away what others put in", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    const before = await structureOf(scene);
    await scene.nft("insert rule inet entityos raw accept");
    await scene.nft("add chain inet entityos theirs { type filter hook prerouting priority -400; }");
    await scene.nft("add rule inet entityos theirs counter");
    await scene.nft("flush set inet entityos ip_v4_32_a");
    await scene.nft("chain inet entityos input { policy accept; }");
    await scene.resync();
    expect((await structureOf(scene)).replaceAll("_b", "_a")).to.equal(before);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
  }).timeout(TIMEOUT_MS);

  it("replaces a table of a foreign structure, and one that was half made", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    await scene.nft(
      "flush table inet entityos; delete chain inet entityos format_1_a; add set inet entityos ip_v4_32_b { type ipv6_addr; }",
    );
    await scene.resync();
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
    await scene.nft("add set inet entityos ip_v4_32_b { type ipv4_addr; }; add rule inet entityos raw ip saddr @ip_v4_32_b drop");
    await scene.resync();
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
  }).timeout(TIMEOUT_MS);

  it("leaves the rest of the ruleset alone, and so does cleanup", async () => {
    await using scene = await makeGatedScene(1);
    await scene.nft("add table inet theirs; add chain inet theirs c; add rule inet theirs c counter");
    await scene.resync();
    await scene.floor[Symbol.asyncDispose]();
    await removeGate({ log: silentLog, within: scene.host.within });
    await removeGate({ log: silentLog, within: scene.host.within });
    expect((await scene.nft("list tables")).trim()).to.equal("table inet theirs");
  }).timeout(TIMEOUT_MS);
});

describe("the structure monitor", () => {
  const FOREIGN = [
    ["a flushed ruleset", "flush ruleset"],
    ["a deleted table", "delete table inet entityos"],
    ["an inserted rule", "insert rule inet entityos raw accept"],
    ["a flushed chain", "flush chain inet entityos output"],
    ["a changed policy", "chain inet entityos input { policy accept; }"],
  ] as const;

  for (const [name, command] of FOREIGN) {
    it(`tells of ${name}`, async () => {
      await using scene = await makeGatedScene(1);
      const { told, monitor } = await watched(scene);
      await using _monitor = monitor;
      await scene.nft(command);
      await waitFor("the monitor to tell", () => told[0]);
      expect(told[0]).to.match(/^(rules were changed by somebody else|the table is gone)$/);
    }).timeout(TIMEOUT_MS);
  }

  it("says nothing of our own resyncs, new prefix lengths and elements, nor of other tables", async () => {
    await using scene = await makeGatedScene(1);
    const { told, monitor } = await watched(scene);
    await using _monitor = monitor;
    for (let length = 20; length < 26; length++) await scene.admit("ip", `10.0.0.0/${length}`);
    for (let round = 0; round < 3; round++) await scene.resync();
    await scene.nft("add table inet theirs; add chain inet theirs c; add rule inet theirs c counter; delete table inet theirs");
    await scene.nft("insert rule inet entityos raw accept");
    await waitFor("the monitor to tell of the last one", () => told[0]);
    expect(told).to.deep.equal(["rules were changed by somebody else"]);
  }).timeout(TIMEOUT_MS);
});

describe("the structure monitor beside more elements than it could hear", () => {
  it("has no nft that the kernel writes each element to, finds a foreign change by its look, and hears again once there are fewer", async () => {
    await using scene = await makeGatedScene(1);
    const { told, monitor } = await watched(scene);
    await using _monitor = monitor;
    const listens = async (wanted: boolean) => {
      await waitFor(wanted ? "a listener" : "no listener", async () => (await listeners(scene)) > 0 === wanted || undefined);
    };
    await listens(true);
    monitor.expect(1_000_000);
    await listens(false);
    await scene.nft("insert rule inet entityos raw accept");
    await waitFor("the look to tell", () => told[0]);
    monitor.expect(10);
    await listens(true);
    expect(told).to.deep.equal(["rules were changed by somebody else"]);
  }).timeout(TIMEOUT_MS);
});

/** Sockets of netfilter's protocol, 12, that are in a group: those that hear changes (netlink(7)). */
async function listeners({ host }: GatedScene): Promise<number> {
  const sockets = (await run([...host.within, "cat", "/proc/net/netlink"])).split("\n").map((line) => line.split(/\s+/));
  return sockets.filter(([, protocol, , groups]) => protocol === "12" && Number(`0x${groups}`) > 0).length;
}

async function watched(scene: GatedScene): Promise<{ told: string[]; monitor: StructureMonitor }> {
  const told: string[] = [];
  const options: MonitorOptions = {
    log: silentLog,
    signal: new AbortController().signal,
    onTampered: (what) => told.push(what),
    within: scene.host.within,
  };
  return { told, monitor: await startMonitor(options) };
}

function load(scene: GatedScene, count: number): void {
  const expiresAt = Date.now() + 3_600_000;
  for (let i = 0; i < count; i++) scene.desired.load({ lane: "ip", prefix: `10.0.${i >> 8}.${i & 255}/32`, expiresAt });
}

/** The ruleset without elements and without what differs from one resync to the next. */
async function structureOf(scene: GatedScene): Promise<string> {
  return (await scene.nft("list ruleset inet"))
    .replaceAll(/elements = \{[^}]*\}/g, "")
    .replaceAll(/"(begin|end) [0-9a-f]+"/g, "word")
    .replaceAll(/\tchain format_1_[ab] \{\n\t\}\n/g, "")
    .replaceAll(/^\s*\n/gm, "");
}
