import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import type { RegistryStatus } from "../../lib/admin/api.ts";
import { paths } from "../lab/folder.ts";
import type { Member } from "../lab/plan.ts";
import { startProcess } from "../lab/processes.ts";
import { agentCommand, agentOf, agentStatus, registryCommand } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import { stepClock, underFakeTime } from "./fake-time.ts";
import { readElements } from "./kernel.ts";
import { BRIEF_S, PROFILES, Stand } from "./stand.ts";
import { stop } from "./stop.ts";

const READY_TIMEOUT_MS = 30_000;

describe("a clock that is stepped by an hour", function () {
  this.timeout(300_000);
  const stack = new AsyncDisposableStack();
  let stand: Stand;

  before(async () => {
    stand = stack.use(await Stand.open({ name: `t-clock-${process.pid}` }));
  });
  after(() => stack.disposeAsync());

  const step = (member: Member, by: "+0" | "+1h" | "-1h") => stepClock(stand.plan, member, by);

  async function restart(name: string, member: Member, command: readonly string[]): Promise<void> {
    await stop(stand.plan, name);
    startProcess(stand.plan.folder, name, member.netns, underFakeTime(stand.plan, member, command), paths(stand.plan).log(name));
  }
  const restartRegistry = () => restart("registry", stand.plan.registry, registryCommand(stand.plan));
  const restartAgent = () => restart(agentOf(stand.host()), stand.host(), agentCommand(stand.plan, stand.host()));

  const enforcing = () =>
    waitFor("the agent to enforce", async () => (await agentStatus(stand.plan, stand.host()))?.state === "enforcing" || undefined, {
      timeoutMs: READY_TIMEOUT_MS,
    });
  const gateStands = () =>
    waitFor(
      "the gate",
      async () => /^(enforcing|detached)$/.test((await agentStatus(stand.plan, stand.host()))?.state ?? "") || undefined,
      {
        timeoutMs: READY_TIMEOUT_MS,
      },
    );
  const stands = async (prefix: string) => (await readElements(stand.host().netns)).has(`ip ${prefix}`);
  const gone = (prefix: string) =>
    waitFor(`${prefix} to go`, async () => !(await stands(prefix)) || undefined, { timeoutMs: BRIEF_S * 1_000 + 15_000 });
  const granted = (prefix: string) => waitFor(`${prefix} to stand`, async () => (await stands(prefix)) || undefined);

  async function withBothUnderFakeTime(): Promise<void> {
    for (const member of [stand.plan.registry, stand.host()]) step(member, "+0");
    await restartRegistry();
    await restartAgent();
    await enforcing();
  }

  it("back, at the registry: what was revoked stays out, what ran out does, and nobody lives longer than granted", async () => {
    await withBothUnderFakeTime();
    const revoked = await stand.register(["198.18.0.1"]);
    await stand.register(["198.18.0.2"], PROFILES.brief);
    await granted("198.18.0.2/32");
    const grantedAt = performance.now();
    step(stand.plan.registry, "-1h");
    await stand.control.send("POST", `/devices/${revoked}/revoke`);
    await gone("198.18.0.1/32");
    await gone("198.18.0.2/32");
    expect(performance.now() - grantedAt).to.be.below((BRIEF_S + 10) * 1_000);
    // To a clock that is an hour late the agent's fresh certificate is not valid yet: without a feed what was saved must do.
    await restartAgent();
    await gateStands();
    for (const prefix of ["198.18.0.1/32", "198.18.0.2/32"]) expect(await stands(prefix), prefix).to.equal(false);
    step(stand.plan.registry, "+0");
    await restartAgent();
    await enforcing();
    for (const prefix of ["198.18.0.1/32", "198.18.0.2/32"]) expect(await stands(prefix), prefix).to.equal(false);
  });

  it("back, at a host that starts again: what ran out meanwhile stays out, and nobody lives longer than granted", async () => {
    await withBothUnderFakeTime();
    await stand.register(["198.18.0.3"], PROFILES.brief);
    await granted("198.18.0.3/32");
    await stop(stand.plan, "registry");
    step(stand.host(), "-1h");
    await delay(2_000);
    await restartAgent();
    await gateStands();
    const left = (await readElements(stand.host().netns)).get("ip 198.18.0.3/32") ?? 0;
    expect(left).to.be.at.most(BRIEF_S);
    await gone("198.18.0.3/32");
    await restartRegistry();
    step(stand.host(), "+0");
    await restartAgent();
    await enforcing();
    expect(await stands("198.18.0.3/32")).to.equal(false);
  });

  const alarmed = async () => (await agentStatus(stand.plan, stand.host()))?.alarms.some(({ name }) => name === "registry_behind") ?? false;
  const applied = () =>
    waitFor("the agent to be at the registry's revision", async () => {
      const { revision } = await stand.control.get<RegistryStatus>("/status");
      return (await agentStatus(stand.plan, stand.host()))?.revision === revision || undefined;
    });

  it("forward for a moment, at the registry: what ran out stays out, lives end too soon, an alarm says so, and what operators are told to do heals it", async () => {
    await withBothUnderFakeTime();
    expect(await alarmed()).to.equal(false);
    await stand.register(["198.18.0.4"]);
    await granted("198.18.0.4/32");
    step(stand.plan.registry, "+1h");
    await gone("198.18.0.4/32");
    step(stand.plan.registry, "+0");
    await waitFor("the alarm", async () => (await alarmed()) || undefined);
    await restartAgent();
    await enforcing();
    expect(await stands("198.18.0.4/32")).to.equal(false);
    await waitFor("the alarm after a restart", async () => (await alarmed()) || undefined);
    await stand.register(["198.18.0.5"], PROFILES.brief);
    await applied();
    expect(await stands("198.18.0.5/32")).to.equal(false);
    // docs/operations.md, "A registry whose clock was ahead".
    await stop(stand.plan, agentOf(stand.host()));
    for (const end of ["", "-wal", "-shm"]) rmSync(join(paths(stand.plan).dataOf(stand.host().name), `state.db${end}`), { force: true });
    await restartAgent();
    await enforcing();
    await stand.register(["198.18.0.6"], PROFILES.brief);
    await granted("198.18.0.6/32");
    expect(await alarmed()).to.equal(false);
  });
});
