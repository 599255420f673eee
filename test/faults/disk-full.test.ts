import { expect } from "chai";
import { inNetns, run } from "../lab/exec.ts";
import { agentOf, agentStatus, startAgent, startRegistry } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import type { SmallDisk } from "./disk.ts";
import { readElements } from "./kernel.ts";
import { DiskStand } from "./small-disks.ts";
import type { Stand } from "./stand.ts";
import { stop } from "./stop.ts";

describe("a full disk", function () {
  this.timeout(240_000);
  let disks: DiskStand | undefined;
  let stand: Stand;
  let storage: SmallDisk;
  let state: SmallDisk;

  before(async () => {
    disks = await DiskStand.open(`t-full-${process.pid}`);
    ({ stand, storage, state } = disks);
  });
  after(() => disks?.[Symbol.asyncDispose]());

  it("under Storage: nothing is accepted, what stands stays, and the same request is good once there is room", async () => {
    await stand.register(["198.18.0.1"]);
    const waiting = await Promise.all(["198.18.0.2", "198.18.0.3"].map((address) => stand.registering([address])));
    storage.fill();
    expect(await Promise.all(waiting.map((deed) => deed.ask()))).to.deep.equal([false, false]);
    expect([...(await readElements(stand.host().netns)).keys()]).to.deep.equal(["ip 198.18.0.1/32"]);
    storage.empty();
    expect(await Promise.all(waiting.map((deed) => deed.ask()))).to.deep.equal([true, true]);
    expect(stand.model.devices.size).to.equal(3);
    expect(await stand.check()).to.deep.equal([]);
  });

  it("under Storage that is killed meanwhile: it comes back with all that was accepted", async () => {
    storage.fill();
    await stop(stand.plan, "registry");
    const back = startRegistry(stand.plan);
    back.catch(() => {});
    await waitFor(
      "the registry to end or to listen",
      async () =>
        (await Promise.race([
          back.then(
            () => true,
            () => true,
          ),
        ])) || undefined,
    );
    storage.empty();
    await stop(stand.plan, "registry");
    await startRegistry(stand.plan);
    expect(await stand.check()).to.deep.equal([]);
  });

  it("under an agent's state: the kernel follows all the same, nothing is acknowledged, and all of it is once there is room", async () => {
    const host = stand.host();
    state.fill();
    const before = await agentStatus(stand.plan, host);
    await stand.register(["198.18.0.4"]);
    await waitFor("the element", async () => (await readElements(host.netns)).has("ip 198.18.0.4/32") || undefined);
    await waitFor("the failure to show", async () => (await agentStatus(stand.plan, host))?.state === "repairing" || undefined);
    expect((await agentStatus(stand.plan, host))?.revision).to.equal(before?.revision);
    state.empty();
    expect(await stand.check()).to.deep.equal([]);
  });

  it("under an agent's state: a revocation is in force at once, however long saving has failed", async () => {
    const host = stand.host();
    const id = await stand.register(["198.18.0.5"]);
    expect(await stand.check()).to.deep.equal([]);
    state.fill();
    await stand.register(["198.18.0.6"]);
    await waitFor("a few failures", async () => (await agentStatus(stand.plan, host))?.state === "repairing" || undefined);
    await stand.control.send("POST", `/devices/${id}/revoke`);
    const device = stand.model.devices.get(id);
    if (device !== undefined) device.ended = true;
    await waitFor("the element to go", async () => !(await readElements(host.netns)).has("ip 198.18.0.5/32") || undefined);
    state.empty();
    expect(await stand.check()).to.deep.equal([]);
  });

  it("under the state of an agent that starts: the gate stands, from what was saved", async () => {
    const host = stand.host();
    const saved = await readElements(host.netns);
    await stop(stand.plan, agentOf(host));
    await run(inNetns(host.netns, ["nft", "flush", "ruleset"]));
    state.fill();
    const start = startAgent(stand.plan, host);
    await waitFor("the gate", async () => (await agentStatus(stand.plan, host))?.state === "repairing" || undefined, {
      timeoutMs: 30_000,
    });
    expect([...(await readElements(host.netns)).keys()].sort()).to.deep.equal([...saved.keys()].sort());
    expect((await agentStatus(stand.plan, host))?.floor).to.equal(true);
    state.empty();
    await start;
    expect(await stand.check()).to.deep.equal([]);
  });
});
