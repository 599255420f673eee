import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { inNetns, run } from "../lab/exec.ts";
import { paths } from "../lab/folder.ts";
import { startProcess } from "../lab/processes.ts";
import { agentCommand, agentOf, agentStatus } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import { readElements } from "./kernel.ts";
import { BRIEF_S, PROFILES, Stand } from "./stand.ts";
import { stop } from "./stop.ts";

describe("a host cut off from the registry", function () {
  this.timeout(300_000);
  const stack = new AsyncDisposableStack();
  let stand: Stand;

  before(async () => {
    stand = stack.use(await Stand.open({ name: `t-cut-${process.pid}` }));
  });
  after(() => stack.disposeAsync());

  const link = (state: "up" | "down") => run(["ip", "-n", stand.plan.bridge, "link", "set", "p1", state]);

  it("for longer than the shortest life: what runs out goes, what lives stays, and afterwards it catches up", async () => {
    const { plan } = stand;
    const host = stand.host();
    const long = await stand.register(["198.18.0.1", "2001:db8:f:1::/64"]);
    await stand.register(["198.18.0.2"], PROFILES.brief);
    expect(await stand.check()).to.deep.equal([]);
    // Nothing is heard from either side any more, and no FIN says so.
    await link("down");
    await waitFor("the agent to notice", async () => (await agentStatus(plan, host))?.state === "detached" || undefined);
    await stand.control.send("POST", `/devices/${long}/revoke`);
    const device = stand.model.devices.get(long);
    if (device !== undefined) device.ended = true;
    await stand.register(["198.18.0.3"]);
    const gone = async () => !(await readElements(host.netns)).has("ip 198.18.0.2/32") || undefined;
    await waitFor("the short life to end in the kernel", gone, { timeoutMs: BRIEF_S * 1_000 + 15_000 });
    expect([...(await readElements(host.netns)).keys()]).to.have.members(["ip 198.18.0.1/32", "ip 2001:db8:f:1::/64"]);
    await link("up");
    expect(await stand.check(60_000)).to.deep.equal([]);
  });

  it("and started without a network: the gate stands with what was saved, nothing that ran out meanwhile among it", async () => {
    const { plan } = stand;
    const host = stand.host();
    await stand.register(["198.18.0.4"], PROFILES.brief);
    await stand.register(["198.18.0.5"]);
    expect(await stand.check()).to.deep.equal([]);
    await link("down");
    await stop(plan, agentOf(host));
    await run(inNetns(host.netns, ["nft", "flush", "ruleset"]));
    await delay(BRIEF_S * 1_000);
    startProcess(plan.folder, agentOf(host), host.netns, agentCommand(plan, host), paths(plan).log(agentOf(host)));
    await waitFor("the gate", async () => (await agentStatus(plan, host))?.state === "detached" || undefined, { timeoutMs: 20_000 });
    expect([...(await readElements(host.netns)).keys()]).to.have.members(["ip 198.18.0.3/32", "ip 198.18.0.5/32"]);
    await link("up");
    expect(await stand.check(60_000)).to.deep.equal([]);
  });

  it("and never enrolled before: the gate stands closed until the registry is heard", async () => {
    const { plan } = stand;
    const host = stand.host();
    await stop(plan, agentOf(host));
    await link("down");
    await run(inNetns(host.netns, ["nft", "flush", "ruleset"]));
    await run(["sh", "-c", 'rm -f "$0"/state.db*', paths(plan).dataOf(host.name)]);
    startProcess(plan.folder, agentOf(host), host.netns, agentCommand(plan, host), paths(plan).log(agentOf(host)));
    const closed = async () => (await agentStatus(plan, host))?.state === "closed" || undefined;
    await waitFor("the closed gate", closed, { timeoutMs: 20_000 });
    expect(await agentStatus(plan, host)).to.include({ floor: true, revision: 0, epoch: null });
    expect((await readElements(host.netns)).size).to.equal(0);
    await link("up");
    expect(await stand.check(60_000)).to.deep.equal([]);
  });
});
