import { expect } from "chai";
import { DesiredState } from "../../agent/desired.ts";
import { startNftTarget } from "../../agent/nft/target.ts";
import { silentLog } from "../../lib/log.ts";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { captureOf, endsOf, provoke, sentTo } from "./answers.ts";
import { TCP_FLAG, tcp } from "./frames.ts";
import { connectTo, gateConfig, makeGatedScene } from "./gate.ts";
import { makeScene } from "./netns.ts";

/** Before a SYN is sent again. */
const AT_ONCE_MS = 900;
const TIMEOUT_MS = 120_000;
const SILENT = { outcome: "silent", label: "" };

describe("Standard Rules", () => {
  it("open management and probe ports to named networks alone", async () => {
    await using scene = await makeGatedScene(2, {
      management: { ports: [22], networks: ["203.0.113.11/32", "203.0.113.11/32", "2001:db8:0:11::/64", "2001:db8:0:11::1"] },
      probe: { networks: ["203.0.113.12"] },
    });
    const [operator = scene.host, balancer = scene.host] = scene.devices;
    for (const [port, label] of [
      [22, "ssh"],
      [8440, "probe"],
    ] as const)
      await scene.host.actor.ask("serve", { port, label });
    expect(await connectTo(operator, scene.host.v4, 22)).to.deep.equal({ outcome: "open", label: "ssh" });
    expect(await connectTo(operator, scene.host.v6, 22)).to.deep.equal({ outcome: "open", label: "ssh" });
    expect(await connectTo(balancer, scene.host.v4, 8440)).to.deep.equal({ outcome: "open", label: "probe" });
    expect(await connectTo(operator, scene.host.v4, 8440)).to.deep.equal(SILENT);
    expect(await connectTo(balancer, scene.host.v4, 22)).to.deep.equal(SILENT);
    expect(await connectTo(balancer, scene.host.v6, 22)).to.deep.equal(SILENT);
    expect(await connectTo(operator, scene.host.v4)).to.deep.equal(SILENT);
  }).timeout(TIMEOUT_MS);

  it("drop a spoofed source before it leaves a trace", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await run(["ip", "-n", scene.host.netns, "-batch", "-"], {
      input: "link add away0 type veth peer name away1\nlink set away1 up\nlink set away0 up\nroute add 198.51.100.0/24 dev away0\n",
    });
    await scene.admit("ip", "198.51.100.7/32");
    await using capture = await captureOf(scene, device);
    await provoke(capture, device, []);
    await device.send([tcp({ from: "198.51.100.7", to: scene.host.v4 }, 40_000, 443, TCP_FLAG.syn)]);
    await provoke(capture, device, [tcp(endsOf(device, scene.host, 4), 40_000, 443, TCP_FLAG.syn)]);
    expect(await run([...scene.host.within, "ss", "-Htn", "state", "syn-recv"])).to.equal("");
  }).timeout(TIMEOUT_MS);

  it("admit as many new connections of a source as its burst, not one more", async () => {
    await using scene = await makeGatedScene(1, { newConnections: { perSecond: 1, burst: 5 } });
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    const attempts = Array.from({ length: 8 }, () => connectTo(device, scene.host.v4, 443, AT_ONCE_MS));
    const outcomes = (await Promise.all(attempts)).map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === "open").length).to.be.within(5, 6);
    expect(outcomes.at(-1)).to.equal("silent");
  }).timeout(TIMEOUT_MS);

  it("count the addresses of one IPv6 /64 as one source", async () => {
    await using scene = await makeGatedScene(1, { newConnections: { perSecond: 1, burst: 4 } });
    const [device = scene.host] = scene.devices;
    const others = [2, 3, 4, 5, 6, 7, 8].map((last) => device.v6.replace(/1$/, String(last)));
    const lines = others.map((address) => `addr add ${address}/128 dev eth0 nodad\n`);
    await run(["ip", "-n", device.netns, "-batch", "-"], { input: lines.join("") });
    await scene.admit("ip", "2001:db8:0:11::/64");
    const attempts = others.map((localAddress) =>
      device.actor.ask("connect", { host: scene.host.v6, port: 443, timeoutMs: AT_ONCE_MS, localAddress }),
    );
    const outcomes = (await Promise.all(attempts)).map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === "open").length).to.be.within(4, 5);
  }).timeout(TIMEOUT_MS);

  for (const [lane, openConnections] of [
    ["ip", { perSource: 3 }],
    ["roaming", { roaming: 3 }],
  ] as const) {
    it(`let a source hold as many connections as it may in lane ${lane}, and another one's are its own`, async () => {
      await using scene = await makeGatedScene(2, { lanes: { ip: true, ipcert: true, roaming: true }, openConnections });
      const [device = scene.host, other = scene.host] = scene.devices;
      if (lane === "ip") for (const { v4 } of scene.devices) await scene.admit("ip", `${v4}/32`);
      if (lane === "ip") await scene.admit("ip", "2001:db8:0:11::/64");
      const hold = async ({ actor }: typeof device, host: string, localAddress?: string) =>
        (
          await actor.ask("connect", {
            host,
            port: 443,
            timeoutMs: 2_000,
            keep: true,
            ...(localAddress === undefined ? {} : { localAddress }),
          })
        ).outcome;
      const four = async (...sources: readonly (string | undefined)[]) => {
        const outcomes: string[] = [];
        for (const source of sources) outcomes.push(await hold(device, source?.includes(":") ? scene.host.v6 : scene.host.v4, source));
        return outcomes;
      };
      expect(await four(undefined, undefined, undefined, undefined)).to.deep.equal(["open", "open", "open", "silent"]);
      expect(await hold(other, scene.host.v4)).to.equal("open");
      // With one less there is room again.
      await device.actor.ask("letGo", {});
      await waitFor("room for another", async () => (await hold(device, scene.host.v4)) === "open" || undefined);
      // A source of IPv6 is its /64.
      const addresses = [1, 2, 3, 4].map((last) => device.v6.replace(/1$/, String(last)));
      const lines = addresses.slice(1).map((address) => `addr add ${address}/128 dev eth0 nodad\n`);
      await run(["ip", "-n", device.netns, "-batch", "-"], { input: lines.join("") });
      expect(await four(...addresses)).to.deep.equal(["open", "open", "open", "silent"]);
    }).timeout(TIMEOUT_MS);
  }

  it("fail closed when the set that counts sources is full", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    const all = Array.from({ length: 131_072 }, (_, i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255} timeout 1h`);
    await run([...scene.host.within, "sh", "-c", "cat | nft -f -"], { input: `add element inet entityos rate4 { ${all.join(", ")} }\n` });
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(SILENT);
    await scene.nft("delete element inet entityos rate4 { 10.0.0.7 }");
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
  }).timeout(TIMEOUT_MS);
});

describe("the open zone", () => {
  it("opens the service ports to all and nothing else", async () => {
    await using scene = await makeScene(1);
    const [device = scene.host] = scene.devices;
    const { signal } = new AbortController();
    const config = gateConfig({}, "open");
    await using target = await startNftTarget({ config, now: () => Date.now(), log: silentLog, signal, within: scene.host.within });
    await target.resync(new DesiredState(), signal);
    await target.resync(new DesiredState(), signal);
    const rules = [{ lane: "ip" as const, prefix: "203.0.113.11/32", applied: null, wanted: Date.now() + 9_000 }];
    await target.apply(new DesiredState(), { rules, trust: [] }, signal);
    for (const port of [443, 8441]) await scene.host.actor.ask("serve", { port, label: `port ${port}` });
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "port 443" });
    expect(await connectTo(device, scene.host.v6)).to.deep.equal({ outcome: "open", label: "port 443" });
    await using capture = await captureOf(scene, device);
    expect(await connectTo(device, scene.host.v4, 8441)).to.deep.equal(SILENT);
    expect(sentTo(capture, device)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);
});
