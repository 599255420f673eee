import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { findProcess, isAlive, type ProcessId, sendSignal } from "../lab/processes.ts";
import { agentOf, agentStatus, startAgent } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import { readElements } from "./kernel.ts";
import { PROFILES, Stand } from "./stand.ts";
import { stop } from "./stop.ts";
import { CHILD, childOf } from "./strike.ts";

describe("a kept-open nft that hangs", function () {
  this.timeout(240_000);
  const stack = new AsyncDisposableStack();
  let stand: Stand;

  before(async () => {
    stand = stack.use(await Stand.open({ name: `t-nft-${process.pid}` }));
  });
  after(() => stack.disposeAsync());

  async function frozenNft(): Promise<ProcessId> {
    const agent = findProcess(stand.plan.folder, agentOf(stand.host()));
    const nft = await waitFor("the kept-open nft", () => childOf(agent, CHILD.Nft));
    sendSignal(nft, "SIGSTOP");
    return nft;
  }

  it("and goes on gives nobody a longer life than was granted", async () => {
    const nft = await frozenNft();
    const id = await stand.register(["198.18.0.1"], PROFILES.brief);
    await delay(4_000);
    sendSignal(nft, "SIGCONT");
    const { left, askedAt } = await waitFor("the element", async () => {
      const askedAt = Date.now();
      const left = (await readElements(stand.host().netns)).get("ip 198.18.0.1/32");
      return left === undefined ? undefined : { left, askedAt };
    });
    const granted = stand.model.devices.get(id)?.grants[0]?.expiresAt ?? 0;
    expect(left).to.be.at.most((granted - askedAt) / 1_000 + 1);
    expect(await stand.check()).to.deep.equal([]);
  });

  it("and outlives its agent writes nothing of what that one wanted", async () => {
    const { plan } = stand;
    const host = stand.host();
    const nft = await frozenNft();
    const id = await stand.register(["198.18.0.2"]);
    await waitFor("its script to be handed over", async () => (await agentStatus(plan, host))?.pending || undefined);
    // Two starts later the sets bear the names again that the left-over script writes to.
    for (const _ of [1, 2]) {
      await stop(plan, agentOf(host));
      await startAgent(plan, host);
    }
    await stand.control.send("POST", `/devices/${id}/revoke`);
    const device = stand.model.devices.get(id);
    if (device !== undefined) device.ended = true;
    expect(await stand.check()).to.deep.equal([]);
    sendSignal(nft, "SIGCONT");
    await waitFor("the old nft to be gone", () => !isAlive(nft) || undefined);
    expect(await stand.check()).to.deep.equal([]);
  });
});
