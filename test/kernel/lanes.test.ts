import { expect } from "chai";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { captureOf, endsOf, provoke, sentTo } from "./answers.ts";
import { TCP_FLAG, tcp } from "./frames.ts";
import { connectTo, type GatedScene, makeGatedScene } from "./gate.ts";
import type { Station } from "./netns.ts";

const TIMEOUT_MS = 90_000;
const OPEN = (label: string) => ({ outcome: "open", label });
const SILENT = { outcome: "silent", label: "" };

describe("the lanes of the gate", () => {
  let scene: GatedScene;
  let device: Station;
  let neighbour: Station;
  before(async function () {
    this.timeout(TIMEOUT_MS);
    scene = await makeGatedScene(2);
    const [first, second] = scene.devices;
    if (first === undefined || second === undefined) throw new Error("no devices");
    device = first;
    neighbour = second;
  });
  after(() => scene[Symbol.asyncDispose]());
  afterEach(async () => {
    const rules = [...scene.desired.rules()];
    for (const { lane, prefix } of rules) scene.desired.change({ kind: "rule.remove", lane, prefix });
    await scene.apply();
  });

  it("lead the registered to their own listener, and to nothing else", async () => {
    await scene.admit("ip", `${device.v4}/32`);
    await scene.admit("ipcert", `${neighbour.v6}/128`);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ip"));
    expect(await connectTo(neighbour, scene.host.v6)).to.deep.equal(OPEN("ipcert"));
    expect(await connectTo(device, scene.host.v6)).to.deep.equal(SILENT);
    expect(await connectTo(neighbour, scene.host.v4)).to.deep.equal(SILENT);
    for (const port of [8441, 8442, 8443]) expect(await connectTo(device, scene.host.v4, port, 200), `port ${port}`).to.deep.equal(SILENT);
  }).timeout(TIMEOUT_MS);

  it("put ip before ipcert for a source in both", async () => {
    await scene.admit("ipcert", `${device.v4}/32`);
    await scene.admit("ip", `${device.v4}/32`);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ip"));
    await scene.revoke("ip", `${device.v4}/32`);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ipcert"));
  });

  it("match prefixes of any length, a new one from the moment of its first rule", async () => {
    await scene.admit("ipcert", "203.0.113.8/30");
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ipcert"));
    expect(await connectTo(neighbour, scene.host.v4)).to.deep.equal(SILENT);
    await scene.admit("ip", "2001:db8:0:11::/64");
    expect(await connectTo(device, scene.host.v6)).to.deep.equal(OPEN("ip"));
    expect(await connectTo(neighbour, scene.host.v6)).to.deep.equal(SILENT);
    await scene.admit("ipcert", "2001:db8:0:12::/63");
    expect(await connectTo(neighbour, scene.host.v6)).to.deep.equal(OPEN("ipcert"));
    await scene.resync();
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ipcert"));
    expect(await connectTo(neighbour, scene.host.v6)).to.deep.equal(OPEN("ipcert"));
  }).timeout(TIMEOUT_MS);

  for (const family of [4, 6] as const) {
    const host = () => (family === 4 ? scene.host.v4 : scene.host.v6);
    const prefix = () => (family === 4 ? `${device.v4}/32` : `${device.v6}/128`);

    it(`stop an open download at its source's revocation, in both directions, over IPv${family}`, async () => {
      await scene.admit("ip", prefix());
      await using capture = await captureOf(scene, device);
      const { id, localPort } = await device.actor.ask("download", { host: host(), port: 443, timeoutMs: 20_000 });
      await scene.revoke("ip", prefix());
      await expectCut(scene, device, capture, family, id, localPort);
    }).timeout(TIMEOUT_MS);

    it(`cut an open flow when its source changes lane, over IPv${family}`, async () => {
      await scene.admit("ip", prefix());
      await using capture = await captureOf(scene, device);
      const { id, localPort } = await device.actor.ask("download", { host: host(), port: 443, timeoutMs: 20_000 });
      scene.desired.change({ kind: "rule.set", lane: "ipcert", prefix: prefix(), expiresAt: Date.now() + 60_000 });
      scene.desired.change({ kind: "rule.remove", lane: "ip", prefix: prefix() });
      await scene.apply();
      await expectCut(scene, device, capture, family, id, localPort);
      expect(await connectTo(device, host())).to.deep.equal(OPEN("ipcert"));
    }).timeout(TIMEOUT_MS);
  }

  it("cut the one flow whose address and port are in the cut set", async () => {
    await scene.admit("ip", `${device.v4}/32`);
    await using capture = await captureOf(scene, device);
    const { id, localPort } = await device.actor.ask("download", { host: scene.host.v4, port: 443, timeoutMs: 20_000 });
    await scene.nft(`add element inet entityos cut4 { ${device.v4} . ${localPort} timeout 60s }`);
    await expectCut(scene, device, capture, 4, id, localPort);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ip"));
  }).timeout(TIMEOUT_MS);

  for (const family of [4, 6] as const)
    it(`cut the one flow to which the kernel gave another port, as its listener has it, over IPv${family}`, async () => {
      await using twice = await makeGatedScene(1, { lanes: { ip: true, ipcert: true }, servicePorts: [443, 8000] });
      const [client = twice.host] = twice.devices;
      const [host, address, prefix] = family === 4 ? [twice.host.v4, client.v4, 32] : [twice.host.v6, client.v6, 128];
      await twice.admit("ip", `${address}/${prefix}`);
      await using capture = await captureOf(twice, client);
      const from = { host, timeoutMs: 20_000, localPort: 50_000 };
      const first = await client.actor.ask("download", { ...from, port: 443 });
      const second = await client.actor.ask("download", { ...from, port: 8000 });
      const { ports } = await twice.host.actor.ask("peers", {});
      const [own, given = 0] = ports;
      expect([own, given === own]).to.deep.equal([50_000, false]);
      await twice.nft(`add element inet entityos cut${family} { ${address} . ${given} timeout 60s }`);
      const bytesOf = async ({ id }: { readonly id: number }) => (await client.actor.ask("downloaded", { id })).bytes;
      let last = [0, 0];
      const alone = async () => {
        const now = [await bytesOf(first), await bytesOf(second)];
        const [goesOn = 0, stands = 0] = now.map((bytes, at) => bytes - (last[at] ?? 0));
        last = now;
        return (goesOn > 0 && stands === 0) || undefined;
      };
      await waitFor("the other one to go on alone", alone, { everyMs: 300 });
      await twice.nft(`add element inet entityos cut${family} { ${address} . 50000 timeout 60s }`);
      await expectCut(twice, client, capture, family, first.id, 50_000);
    }).timeout(TIMEOUT_MS);

  it("never write an element that has less than a second to live, let others die by themselves, and take them in again", async () => {
    await scene.admit("ip", `${device.v4}/32`, 400);
    expect(await elementsOf(scene)).to.equal("");
    await scene.admit("ip", `${device.v4}/32`, 6_900);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ip"));
    await waitFor("the kernel to shut it", async () =>
      (await connectTo(device, scene.host.v4, 443, 200)).outcome === "silent" ? true : undefined,
    );
    // What is over lies there until the kernel clears it, in ten minutes; it is in nobody's way.
    await scene.revoke("ip", `${device.v4}/32`);
    await scene.admit("ip", `${device.v4}/32`, 60_900);
    // As long as it was when it was written: a busy machine takes its time.
    expect(await elementsOf(scene)).to.match(/^203\.0\.113\.11 timeout (1m|5\ds) expires (1m|[45]\ds)\S*$/);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(OPEN("ip"));
    await scene.revoke("ip", `${device.v4}/32`);
    expect((await connectTo(device, scene.host.v4, 443, 200)).outcome).to.equal("silent");
  }).timeout(TIMEOUT_MS);

  it("shorten a life as well as they lengthen it", async () => {
    await scene.admit("ip", `${device.v4}/32`, 3_600_000);
    await scene.admit("ip", `${device.v4}/32`, 10_900);
    expect(await elementsOf(scene)).to.match(/^203\.0\.113\.11 timeout (10|\d)s expires (10|\d)s\S*$/);
  });
});

/** What stands in the set of single IPv4 addresses of lane ip. */
async function elementsOf(scene: GatedScene): Promise<string> {
  const text = await scene.nft("list table inet entityos");
  return /set ip_v4_32_[ab] \{[^}]*elements = \{ ([^}]*) \}/.exec(text)?.[1] ?? "";
}

/** From now on nothing of this flow leaves the host or is let in, not even when the client goes on speaking. */
async function expectCut(
  scene: GatedScene,
  device: Station,
  capture: Awaited<ReturnType<typeof captureOf>>,
  family: 4 | 6,
  id: number,
  localPort: number,
): Promise<void> {
  // The whole millisecond in which it came into force counts as before.
  const cutAt = Date.now() + 1;
  let bytes = -1;
  await waitFor(
    "the download to stand still",
    async () => {
      const now = (await device.actor.ask("downloaded", { id })).bytes;
      const still = now === bytes;
      bytes = now;
      return still || undefined;
    },
    { everyMs: 300 },
  );
  const received = await receivedFrom(scene, localPort);
  const spoken = () => capture.packets.filter(({ fromPort, text }) => fromPort === localPort && text.endsWith("length 13")).length;
  await device.actor.ask("speak", { id });
  await waitFor("the client's words on the wire, said twice as nobody hears them", () => spoken() >= 2 || undefined);
  await provoke(capture, device, [tcp(endsOf(device, scene.host, family), localPort, 443, TCP_FLAG.ack)]);
  expect(await receivedFrom(scene, localPort)).to.equal(received);
  expect(sentTo(capture, device).length).to.be.greaterThan(10);
  const later = sentTo(capture, device).filter(({ at, toPort }) => toPort === localPort && at > cutAt);
  expect(later.map(({ text }) => text)).to.deep.equal([]);
}

/** Bytes that the host's end of the flow was given. */
async function receivedFrom(scene: GatedScene, port: number): Promise<number> {
  const text = await run([...scene.host.within, "ss", "-Htni", "dport", "=", `:${port}`]);
  return Number(/bytes_received:(\d+)/.exec(text)?.[1] ?? Number.NaN);
}
