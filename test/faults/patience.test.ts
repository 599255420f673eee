import { expect } from "chai";
import { paths } from "../lab/folder.ts";
import { startLab } from "../lab/lab.ts";
import { startProcess } from "../lab/processes.ts";
import { agentCommand, agentOf, agentStatus, operate, startTerminator, terminatorOf } from "../lab/programs.ts";
import { type Certified, PATIENCE_MS, Scene } from "../lab/scene.ts";
import { waitFor } from "../lab/wait.ts";
import { stepClock, underFakeTime } from "./fake-time.ts";
import { stop } from "./stop.ts";

const PROFILE = "long";
/** How long no answer is listened to. */
const SILENCE_MS = 2_000;
/** A list lives for seven days: this is past half of it and past all of it, and before and after the host's patience ends. */
const [HALF, WHOLE, PATIENCE_DAYS, LATE] = ["+4d", "+8d", 9, "+10d"] as const;

describe("a registry that stays stopped, as a host lives it", function () {
  this.timeout(300_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;

  before(async () => {
    const stale = { afterSeconds: PATIENCE_DAYS * 86_400, action: "close" };
    const lab = stack.use(await startLab({ name: `t-patience-${process.pid}`, agents: 1, devices: 2, roaming: 1, agentConfig: { stale } }));
    scene = stack.use(await Scene.open(lab));
    const { plan } = lab;
    await operate(plan, ["profile", "set", PROFILE, "--pattern", "cert", "--certificate-lifetime", "60d"]);
    stepClock(plan, scene.host(), "+0");
    const through = (command: readonly string[]) => underFakeTime(plan, scene.host(), command, true);
    for (const part of [agentOf, terminatorOf]) await stop(plan, part(scene.host()));
    startProcess(
      plan.folder,
      agentOf(scene.host()),
      scene.host().netns,
      through(agentCommand(plan, scene.host())),
      paths(plan).log(agentOf(scene.host())),
    );
    await reaches("enforcing");
    await startTerminator(plan, scene.host(), undefined, through);
  });
  after(() => stack.disposeAsync());

  const status = () => agentStatus(scene.lab.plan, scene.host());
  const reaches = (state: string) =>
    waitFor(`the agent to be ${state}`, async () => (await status())?.state === state || undefined, { timeoutMs: 30_000 });
  /** But for the one that tells how slow this machine is. */
  const alarms = async () =>
    ((await status())?.alarms ?? [])
      .map(({ name }) => name)
      .filter((name) => name !== "apply_slow")
      .sort();
  const alarmed = (...names: readonly string[]) =>
    waitFor(`the alarms ${names.join(" ")}`, async () => (await alarms()).join() === names.join() || undefined);

  it("past half of the life of its lists and past all of it: alarms, the valid in, the revoked out; then, when patience ends, nobody", async () => {
    const code = await scene.makeCode("patience", 2, PROFILE);
    const [valid, revoked] = [await scene.certify(0, code), await scene.certify(1, code)];
    await scene.applied(await scene.headRevision());
    const seen = async (device: number, { client }: Certified, timeoutMs: number) =>
      (await scene.whoAmI(device, scene.host(), client, timeoutMs))?.["x-entityos-device"] ?? null;
    const who = async () => [await seen(0, valid, PATIENCE_MS), await seen(1, revoked, SILENCE_MS)];
    expect([await seen(0, valid, PATIENCE_MS), await seen(1, revoked, PATIENCE_MS)]).to.deep.equal([valid.device, revoked.device]);
    await scene.applied((await scene.revoke(revoked.device)).revision);
    expect(await who()).to.deep.equal([valid.device, null]);
    expect(await alarms()).to.deep.equal([]);
    await stop(scene.lab.plan, "registry");
    await reaches("detached");
    stepClock(scene.lab.plan, scene.host(), HALF);
    await alarmed("crl_old");
    expect(await who()).to.deep.equal([valid.device, null]);
    stepClock(scene.lab.plan, scene.host(), WHOLE);
    await alarmed("crl_expired");
    expect(await who()).to.deep.equal([valid.device, null]);
    stepClock(scene.lab.plan, scene.host(), LATE);
    await reaches("closed");
    await alarmed("crl_expired", "feed_stale");
    const nobody = async () => (await seen(0, valid, SILENCE_MS)) === null && (await seen(1, revoked, SILENCE_MS)) === null;
    await waitFor("nobody to be let in", async () => (await nobody()) || undefined);
  });
});
