import { expect } from "chai";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { answerAll, captureOf, endsOf, provoke, sentTo } from "./answers.ts";
import { icmp, TCP_FLAG, tcp } from "./frames.ts";
import { connectTo, type GatedScene, makeGatedScene } from "./gate.ts";
import type { Station } from "./netns.ts";

const TIMEOUT_MS = 90_000;
const SILENT = { outcome: "silent", label: "" };

/** Has a host forward packets, and tell neighbours of shorter ways as often as it likes. */
const asRouter = (host: Station) =>
  run([
    ...host.within,
    "sh",
    "-ec",
    `echo 1 > /proc/sys/net/ipv4/ip_forward
    for name in all eth0; do
      echo 1 > /proc/sys/net/ipv4/conf/$name/send_redirects
      echo 1 > /proc/sys/net/ipv6/conf/$name/forwarding
    done`,
  ]);

describe("a host that forwards packets", () => {
  for (const [what, prepare] of [
    ["the gate", (scene: GatedScene) => scene.floor[Symbol.asyncDispose]()],
    ["the floor", (scene: GatedScene) => scene.nft("flush ruleset")],
  ] as const) {
    it(`tells a stranger of no shorter way, behind ${what} alone`, async () => {
      await using scene = await makeGatedScene(2);
      await answerAll(scene.host);
      await asRouter(scene.host);
      await prepare(scene);
      const [stranger = scene.host, other = scene.host] = scene.devices;
      await using capture = await captureOf(scene, stranger);
      await using forwarded = await captureOf(scene, other);
      await provoke(capture, stranger, [icmp(endsOf(stranger, other, 4), 8), icmp(endsOf(stranger, other, 6), 128)]);
      // A redirect goes out before the packet that it is about goes on.
      await waitFor("both packets on their way", () => sentTo(forwarded, other).length >= 2 || undefined);
      expect(sentTo(capture, stranger).map(({ text }) => text)).to.deep.equal([]);
    }).timeout(TIMEOUT_MS);
  }
});

describe("management and probe ports", () => {
  it("stay with their named networks while only the floor stands", async () => {
    await using scene = await makeGatedScene(2, {
      management: { ports: [22], networks: ["203.0.113.11", "2001:db8:0:11::/64"] },
      probe: { networks: ["203.0.113.11"] },
    });
    for (const port of [22, 8440]) await scene.host.actor.ask("serve", { port, label: String(port) });
    await scene.nft("flush ruleset");
    const [operator = scene.host, stranger = scene.host] = scene.devices;
    expect(await connectTo(operator, scene.host.v4, 22)).to.deep.equal({ outcome: "open", label: "22" });
    expect(await connectTo(operator, scene.host.v6, 22)).to.deep.equal({ outcome: "open", label: "22" });
    expect(await connectTo(operator, scene.host.v4, 8440)).to.deep.equal({ outcome: "open", label: "8440" });
    await using capture = await captureOf(scene, stranger);
    for (const port of [22, 8440])
      for (const family of [4, 6] as const)
        await provoke(capture, stranger, [tcp(endsOf(stranger, scene.host, family), 40_000, port, TCP_FLAG.syn)]);
    expect(sentTo(capture, stranger).map(({ text }) => text)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("fit into the floor with as many networks as a configuration may name", async () => {
    const networks = Array.from({ length: 1_024 }, (_, i) => `2001:db8:ffff:ffff:ffff:ffff:${(0xf000 + i).toString(16)}:ff00/120`);
    await using scene = await makeGatedScene(0, { management: { ports: [22], networks }, probe: { networks } });
    expect(await scene.nft("list table inet entityos_floor")).to.contain("2001:db8:ffff:ffff:ffff:ffff:f3ff:ff00/120");
  }).timeout(TIMEOUT_MS);
});

describe("a user of the host itself", () => {
  for (const [what, prepare] of [
    ["gate and floor", async () => {}],
    ["the gate", (scene: GatedScene) => scene.floor[Symbol.asyncDispose]()],
    ["the floor", (scene: GatedScene) => scene.nft("flush ruleset")],
  ] as const) {
    it(`speaks to no listener as an admitted device, behind ${what}`, async () => {
      await using scene = await makeGatedScene(0);
      await prepare(scene);
      for (const host of ["127.0.0.1", "::1", scene.host.v4, scene.host.v6])
        expect(await connectTo(scene.host, host, 8441), host).to.deep.equal(SILENT);
    }).timeout(TIMEOUT_MS);
  }
});

describe("lane roaming", () => {
  it("counts its sources apart: forged ones that fill its set keep no registered one out", async () => {
    await using scene = await makeGatedScene(2, { lanes: { ip: true, ipcert: true, roaming: true } });
    const [device = scene.host, stranger = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    expect(await connectTo(stranger, scene.host.v4)).to.deep.equal({ outcome: "open", label: "roaming" });
    expect(await scene.nft("list set inet entityos rate4")).not.to.contain(stranger.v4);
    expect(await scene.nft("list set inet entityos rate4_roaming")).to.contain(stranger.v4);
    const forged = Array.from({ length: 131_071 }, (_, i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255} timeout 1h`);
    await run([...scene.host.within, "sh", "-c", "cat | nft -f -"], {
      input: `flush set inet entityos rate4_roaming\nadd element inet entityos rate4_roaming { ${[...forged, "11.0.0.1 timeout 1h"].join(", ")} }\n`,
    });
    expect(await connectTo(stranger, scene.host.v4)).to.deep.equal(SILENT);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
  }).timeout(TIMEOUT_MS);
});
