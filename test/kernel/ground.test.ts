import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { NftAtFifos } from "../../agent/nft/fifo.ts";
import { waitFor } from "../lab/wait.ts";
import { captureOf, endsOf, provoke, sentTo } from "./answers.ts";
import { TCP_FLAG, tcp } from "./frames.ts";
import { connectTo } from "./gate.ts";
import { startHolder } from "./holder.ts";
import { makeRunningScene, type RunningScene } from "./running.ts";

const BOUNDS = { timeoutMs: 20_000, signal: new AbortController().signal };

describe("the floor that is held by a unit of its own", function () {
  this.timeout(120_000);
  const stack = new AsyncDisposableStack();
  let scene: RunningScene;
  let holder: AsyncDisposable;
  before(async () => {
    scene = stack.use(await makeRunningScene(2));
    // It may not have made its gate yet, and ends all the same.
    await scene.stop();
    holder = await startHolder(scene.host.within, scene.folder);
    stack.defer(() => holder[Symbol.asyncDispose]());
    await scene.start();
  });
  after(() => stack.disposeAsync());

  const rules = () => scene.nft("list table inet entityos_ground").catch(() => "");

  it("answers no stranger when others flush everything while no agent runs, and the next agent goes on from there", async () => {
    const [device = scene.host, stranger = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    for (const port of [443, 9000]) await scene.host.actor.ask("serve", { port, label: `port ${port}` });
    await using capture = await captureOf(scene, stranger);
    const knocks = [443, 8441, 9000, 22].map((port) => tcp(endsOf(stranger, scene.host, 4), 40_000 + port, port, TCP_FLAG.syn));
    await scene.stop();
    await scene.nft("flush ruleset");
    expect((await scene.nft("list tables")).trim()).to.equal("table inet entityos_ground");
    await provoke(capture, stranger, knocks);
    expect((await connectTo(device, scene.host.v4)).outcome).to.equal("silent");
    await scene.start();
    await scene.inForce(0);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
    await provoke(capture, stranger, knocks);
    expect(sentTo(capture, stranger)).to.deep.equal([]);
  });

  it("follows the configuration, and its holder's next start too", async () => {
    const gate = { servicePorts: [8000], lanes: { ip: true, ipcert: true } };
    scene.reload({ gate });
    await waitFor("the ports", async () => /\b8000\b/.test(await rules()) || undefined);
    await waitFor("the old port to be forgotten", async () => !/\b443\b/.test(await rules()) || undefined);
    await holder[Symbol.asyncDispose]();
    expect(await rules()).to.equal("");
    holder = await startHolder(scene.host.within, scene.folder);
    await waitFor("the ports again", async () => /\b8000\b/.test(await rules()) || undefined);
    expect(await scene.alarms()).to.deep.equal([]);
  });

  it("tells an answer from what somebody who died left unread, and a refusal from an answer", async () => {
    const folder = join(scene.folder, "ground");
    writeFileSync(join(folder, "in"), "add rule inet nowhere chain drop\ndescribe tcp dport\n");
    using nft = NftAtFifos.open(folder);
    expect(await nft?.exchange("", BOUNDS)).to.equal("");
    expect(await nft?.exchange("add rule inet entityos_ground nowhere drop", BOUNDS)).to.include("Error: Could not process rule");
    expect(await nft?.exchange("add chain inet entityos_ground somewhere", BOUNDS)).to.equal("");
    expect(NftAtFifos.open(join(scene.folder, "elsewhere"))).to.equal(null);
  });
});
