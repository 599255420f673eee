import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { renderClosedGate } from "../../agent/nft/gate.ts";
import { gateProgram } from "../../agent/systemd/units.ts";
import { run } from "../lab/exec.ts";
import { connectTo, type GatedScene, gateConfig, makeGatedScene } from "./gate.ts";

const TIMEOUT_MS = 120_000;

describe("the gate that is closed at boot", function () {
  this.timeout(TIMEOUT_MS);
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-closed-"));
    // The installed program, its places in the folder, as whoever runs the test.
    const program = gateProgram()
      .replaceAll(/\/(etc|var\/lib)\/entityos-agent|\/usr\/lib\/entityos/g, folder)
      .replace(/^if \[ "\$\(id -u\)" = 0 \][\s\S]*?^fi$/m, "");
    writeFileSync(join(folder, "program"), program, { mode: 0o755 });
    writeFileSync(join(folder, "agent.crt"), "");
    writeFileSync(join(folder, "closed.nft"), renderClosedGate(gateConfig()));
    writeFileSync(join(folder, "gate.nft"), renderClosedGate(gateConfig({ management: { ports: [2222], networks: ["10.0.0.0/8"] } })));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const close = (scene: GatedScene) => run([...scene.host.within, "sh", "-c", `${folder}/program 2>&1`]);
  /** Without what is left of each element's life. */
  const structure = async (scene: GatedScene) => (await scene.nft("list table inet entityos")).replace(/ expires \w+/g, "");

  it("lets nobody in, answers nobody, and is this host's own", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    await scene.floor[Symbol.asyncDispose]();
    await scene.nft("flush ruleset");
    expect(await close(scene)).to.equal("");
    expect(await structure(scene)).to.include("2222");
    for (const port of [443, 8441, 22])
      expect(await connectTo(device, scene.host.v4, port)).to.deep.equal({ outcome: "silent", label: "" });
  });

  it("never takes the place of a gate that stands", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    const before = await structure(scene);
    expect(await close(scene)).to.equal("");
    expect(await structure(scene)).to.equal(before);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
  });

  it("is what the agent goes on from, with the registered in", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    await scene.nft("delete table inet entityos");
    await close(scene);
    await scene.resync();
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
  });

  it("is the package's own, without any management network, where the host's cannot be loaded", async () => {
    await using scene = await makeGatedScene(1);
    const [device = scene.host] = scene.devices;
    await scene.nft("delete table inet entityos");
    writeFileSync(join(folder, "gate.nft"), "create table inet entityos\nnonsense\n");
    expect(await close(scene)).to.match(/^\S+\/gate\.nft cannot be loaded: .*syntax error/);
    expect(await structure(scene)).to.not.include("2222");
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "silent", label: "" });
  });

  it("leaves a host alone that was never enrolled", async () => {
    await using scene = await makeGatedScene(1);
    await scene.nft("delete table inet entityos");
    rmSync(join(folder, "agent.crt"));
    expect(await close(scene)).to.equal("");
    expect((await scene.nft("list tables")).trim()).to.equal("table inet entityos_floor");
  });
});
