import { expect } from "chai";
import { agentOf, agentStatus, startAgent, startRegistry } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import type { SmallDisk } from "./disk.ts";
import { readElements } from "./kernel.ts";
import { DiskStand } from "./small-disks.ts";
import type { Stand } from "./stand.ts";
import { stop } from "./stop.ts";

describe("a disk that becomes read-only", function () {
  this.timeout(240_000);
  let disks: DiskStand | undefined;
  let stand: Stand;
  let storage: SmallDisk;
  let state: SmallDisk;

  before(async () => {
    disks = await DiskStand.open(`t-ro-${process.pid}`);
    ({ stand, storage, state } = disks);
  });
  after(() => disks?.[Symbol.asyncDispose]());

  it("under Storage: nothing is accepted, what stands stays, and after its repair the same request is good", async () => {
    await stand.register(["198.18.0.1"]);
    expect(await stand.check()).to.deep.equal([]);
    const waiting = await stand.registering(["198.18.0.2"]);
    await storage.failReadOnly();
    expect(await waiting.ask()).to.equal(false);
    expect([...(await readElements(stand.host().netns)).keys()]).to.deep.equal(["ip 198.18.0.1/32"]);
    await stop(stand.plan, "registry");
    await storage.repair();
    await startRegistry(stand.plan);
    await waitFor("an answer", async () => (await waiting.ask()) || undefined);
    expect(stand.model.devices.size).to.equal(2);
    expect(await stand.check()).to.deep.equal([]);
  });

  it("under an agent's state: the kernel follows all the same, nothing is acknowledged, and after its repair all of it is", async () => {
    const host = stand.host();
    const before = await agentStatus(stand.plan, host);
    await state.failReadOnly();
    await stand.register(["198.18.0.3"]);
    await waitFor("the element", async () => (await readElements(host.netns)).has("ip 198.18.0.3/32") || undefined);
    await waitFor("the failure to show", async () => (await agentStatus(stand.plan, host))?.state === "repairing" || undefined);
    expect((await agentStatus(stand.plan, host))?.revision).to.equal(before?.revision);
    await stop(stand.plan, agentOf(host));
    const standing = await readElements(host.netns);
    // It cannot start without its state, and whatever it tries leaves the gate as it is.
    await startAgent(stand.plan, host, { readyTimeoutMs: 3_000 }).catch(() => {});
    expect([...(await readElements(host.netns)).keys()]).to.have.members([...standing.keys()]);
    await stop(stand.plan, agentOf(host));
    await state.repair();
    await startAgent(stand.plan, host);
    expect(await stand.check()).to.deep.equal([]);
  });
});
