import { copyFileSync, rmSync } from "node:fs";
import { expect } from "chai";
import type { EpochBegun, RegistryStatus } from "../../lib/admin/api.ts";
import { storageFile } from "./configs.ts";
import { startLab } from "./lab.ts";
import { findProcess, isAlive, sendSignal } from "./processes.ts";
import { agentStatus, operator, startRegistry } from "./programs.ts";
import { type Registered, Scene } from "./scene.ts";
import { waitFor } from "./wait.ts";

describe("a registry that is put back from yesterday's file", function () {
  this.timeout(90_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;

  before(async () => {
    const lab = stack.use(await startLab({ name: `t-restored-${process.pid}`, agents: 1, devices: 3 }));
    scene = stack.use(await Scene.open(lab));
  });
  after(() => stack.disposeAsync());

  async function stopRegistry(): Promise<void> {
    const id = findProcess(scene.lab.plan.folder, "registry");
    if (!id) throw new Error("no registry runs");
    sendSignal(id, "SIGTERM");
    await waitFor("the registry to stop", () => !isAlive(id) || undefined);
  }

  async function registerDevice(device: number): Promise<string> {
    const { status, body } = await scene.register(device, await scene.makeCode("restored", 1), ["observed"]);
    expect(status, JSON.stringify(body)).to.equal(201);
    await scene.applied(await scene.headRevision());
    return (body as Registered).device;
  }

  const knock = async (device: number) =>
    (await scene.probe(device).ask("connect", { host: scene.host().address, port: 443, timeoutMs: 500 })).outcome;
  const feedOf = async () => (await agentStatus(scene.lab.plan, scene.host()))?.feed;
  const status = async (): Promise<RegistryStatus> => JSON.parse(await operator(scene.lab.plan, ["status", "--json"]));

  it("leaves every host as it was, with an alarm on both sides, until an operator begins a new epoch", async () => {
    const { plan } = scene.lab;
    const revoked = await registerDevice(0);
    await stopRegistry();
    const [file, copy] = [storageFile(plan), `${storageFile(plan)}.yesterday`];
    copyFileSync(file, copy);
    await startRegistry(plan);
    await waitFor("the agent to come back", async () => (await feedOf())?.connected || undefined, { timeoutMs: 30_000 });
    await registerDevice(1);
    const { revision } = await scene.revoke(revoked);
    await scene.applied(revision);
    expect([await knock(0), await knock(1)]).to.deep.equal(["silent", "open"]);

    await stopRegistry();
    for (const suffix of ["-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true });
    copyFileSync(copy, file);
    await startRegistry(plan);
    await waitFor("the agent to see that it is ahead", async () => (await feedOf())?.ahead || undefined, { timeoutMs: 30_000 });
    expect((await status()).agents).to.deep.include({ connected: 1, inSync: 0, ahead: 1 });
    expect(await operator(plan, ["status"])).to.match(/^ALARM: +1 agent holds more than Storage/m);
    expect((await agentStatus(plan, scene.host()))?.state).to.equal("detached");
    expect([await knock(0), await knock(1)]).to.deep.equal(["silent", "open"]);

    // What is decided here meanwhile reaches no host: neither a registration nor, before the new epoch, the revocation of what came back.
    const { status: late } = await scene.register(2, await scene.makeCode("restored", 1), ["observed"]);
    expect(late).to.equal(201);
    await scene.revoke(revoked);
    expect([await knock(0), await knock(1), await knock(2)]).to.deep.equal(["silent", "open", "silent"]);

    const begun: EpochBegun = JSON.parse(await operator(plan, ["epoch", "begin", "--json"]));
    expect(begun.epoch > begun.previous).to.equal(true);
    expect(begun.ahead.map((agent) => agent.agent)).to.deep.equal(["host1"]);
    await waitFor(
      "the agent to take the new epoch",
      async () => (await agentStatus(plan, scene.host()))?.epoch === begun.epoch || undefined,
      {
        timeoutMs: 30_000,
      },
    );
    expect([await knock(0), await knock(1), await knock(2)]).to.deep.equal(["silent", "silent", "open"]);
    expect((await status()).agents).to.deep.include({ connected: 1, inSync: 1, ahead: 0 });
    expect(await operator(plan, ["audit", "verify"])).to.match(/^sound/);
  });
});
