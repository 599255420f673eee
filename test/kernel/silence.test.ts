import { expect } from "chai";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { answerAll, captureOf, endsOf, PROTECTED, PROVOCATIONS, provoke, reassemblyOver, sentTo } from "./answers.ts";
import { TCP_FLAG, tcp } from "./frames.ts";
import { connectTo, type GatedScene, makeGatedScene } from "./gate.ts";
import { makeScene } from "./netns.ts";

const TIMEOUT_MS = 90_000;

/** SYNs of one stranger to every protected port in both families, each from a source port of its own. */
const syns = (scene: GatedScene, round: number) =>
  ([4, 6] as const).flatMap((family) =>
    PROTECTED.map((port, at) =>
      tcp(endsOf(scene.devices[0] ?? scene.host, scene.host, family), 20_000 + round * 8 + at, port, TCP_FLAG.syn),
    ),
  );

describe("a stranger on the wire", () => {
  let scene: GatedScene;
  before(async function () {
    this.timeout(TIMEOUT_MS);
    scene = await makeGatedScene(2);
    await answerAll(scene.host);
  });
  after(() => scene[Symbol.asyncDispose]());

  const stranger = () => {
    const [device] = scene.devices;
    if (device === undefined) throw new Error("no device");
    return device;
  };

  it("gets not one packet back, whatever is sent", async () => {
    await using capture = await captureOf(scene, stranger());
    for (const { family, packet } of PROVOCATIONS) await provoke(capture, stranger(), [packet(endsOf(stranger(), scene.host, family))]);
    await reassemblyOver();
    expect(sentTo(capture, stranger()).map(({ text }) => text)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("gets nothing from the gate alone either, without a floor", async () => {
    await using alone = await makeGatedScene(1);
    await answerAll(alone.host);
    await alone.floor[Symbol.asyncDispose]();
    expect((await alone.nft("list tables")).trim()).to.equal("table inet entityos");
    const [device = alone.host] = alone.devices;
    await using capture = await captureOf(alone, device);
    for (const { family, packet } of PROVOCATIONS) await provoke(capture, device, [packet(endsOf(device, alone.host, family))]);
    await reassemblyOver();
    expect(sentTo(capture, device).map(({ text }) => text)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("gets nothing from the floor alone, while the gate is away", async () => {
    await using alone = await makeGatedScene(1);
    await answerAll(alone.host);
    await alone.nft("flush ruleset");
    const [device = alone.host] = alone.devices;
    await using capture = await captureOf(alone, device);
    for (const { family, packet } of PROVOCATIONS) await provoke(capture, device, [packet(endsOf(device, alone.host, family))]);
    await reassemblyOver();
    expect(sentTo(capture, device).map(({ text }) => text)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("is silent at link-local addresses too", async () => {
    const answer = await stranger().actor.ask("connect", { host: `${await linkLocal(scene)}%eth0`, port: 8441, timeoutMs: 400 });
    expect(answer.outcome).to.equal("silent");
  });

  it("gets nothing while another program flushes the ruleset, and the registered waits until the gate is back", async () => {
    const registered = scene.devices[1] ?? scene.host;
    await scene.admit("ip", `${registered.v4}/32`);
    expect(await connectTo(registered, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
    await using capture = await captureOf(scene, stranger());
    await using other = await captureOf(scene, registered);
    const { id } = await registered.actor.ask("download", { host: scene.host.v4, port: 443, timeoutMs: 20_000 });
    await provoke(capture, stranger(), syns(scene, 0));
    await Promise.all([scene.nft("flush ruleset"), provoke(capture, stranger(), syns(scene, 1))]);
    const flushedAt = Date.now() + 1;
    await provoke(capture, stranger(), syns(scene, 2));
    expect(await connectTo(registered, scene.host.v4)).to.deep.equal({ outcome: "silent", label: "" });
    const answers = sentTo(other, registered);
    expect(answers.filter(({ at }) => at < flushedAt).length).to.be.greaterThan(10);
    expect(answers.filter(({ at }) => at > flushedAt).map(({ text }) => text)).to.deep.equal([]);
    const bytesOf = async () => (await registered.actor.ask("downloaded", { id })).bytes;
    const bytes = await bytesOf();
    await scene.resync();
    await provoke(capture, stranger(), syns(scene, 3));
    expect(await connectTo(registered, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
    await waitFor("the open download to go on", async () => ((await bytesOf()) > bytes ? true : undefined));
    expect(sentTo(capture, stranger()).map(({ text }) => text)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("gets nothing while the floor's holder is killed, and the floor comes back", async () => {
    await scene.resync();
    await using capture = await captureOf(scene, stranger());
    const holder = scene.floor.holder ?? 0;
    process.kill(holder, "SIGKILL");
    await provoke(capture, stranger(), syns(scene, 4));
    await waitFor("another holder", () => (scene.floor.held && scene.floor.holder !== holder) || undefined);
    expect(await scene.nft("list table inet entityos_floor")).to.contain("tcp dport { 443, 8441, 8442, 8443 }");
    await provoke(capture, stranger(), syns(scene, 5));
    expect(sentTo(capture, stranger())).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("keeps a foreign program from deleting the floor", async () => {
    const refusal = await scene.nft("delete table inet entityos_floor").then(
      () => "deleted",
      (error: Error) => error.message,
    );
    expect(refusal).to.contain("Operation not permitted");
  });
});

describe("a host without a gate", () => {
  it("answers each of the provocations, so that silence means something", async () => {
    await using scene = await makeScene(1);
    await answerAll(scene.host);
    const [device = scene.host] = scene.devices;
    for (const { name, family, packet } of PROVOCATIONS) {
      if (name === "half a datagram") continue;
      await using capture = await captureOf(scene, device);
      await provoke(capture, device, [packet(endsOf(device, scene.host, family))]);
      await waitFor(`an answer to ${name} over IPv${family}`, () => sentTo(capture, device).length > 0 || undefined);
    }
    await using capture = await captureOf(scene, device);
    for (const family of [4, 6] as const)
      for (const { name, packet, family: own } of PROVOCATIONS)
        if (name === "half a datagram" && own === family) await provoke(capture, device, [packet(endsOf(device, scene.host, family))]);
    await waitFor("both families to tell that fragments are missing", () => sentTo(capture, device).length >= 2 || undefined);
  }).timeout(TIMEOUT_MS);
});

describe("a lane whose listener is not there", () => {
  it("is silent to the registered too: no RST leaves", async () => {
    await using scene = await makeGatedScene(1, { lanes: { ip: true }, listeners: { ip: 9441, ipcert: 9442, roaming: 9443 } });
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    await using capture = await captureOf(scene, device);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "silent", label: "" });
    expect(sentTo(capture, device)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);
});

async function linkLocal(scene: GatedScene): Promise<string> {
  const text = await run(["ip", "-6", "-o", "-n", scene.host.netns, "addr", "show", "dev", "eth0", "scope", "link"]);
  return /inet6 (fe80[0-9a-f:]+)/.exec(text)?.[1] ?? "";
}
