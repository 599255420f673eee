import { expect } from "chai";
import type { RegistryStatus } from "../../lib/admin/api.ts";
import { openControl } from "../../registry/cli/control.ts";
import { inNetns, run } from "./exec.ts";
import { startLab } from "./lab.ts";
import { members } from "./plan.ts";
import { agentStatus } from "./programs.ts";
import { Scene } from "./scene.ts";
import { waitFor } from "./wait.ts";

const HEARTBEAT_MS = 300;

/** Ways in which a link dies without a FIN or RST to either side, and how it comes back, in the namespace of the bridge. */
const CUTS: readonly [what: string, cut: (port: string) => readonly string[], mend: (port: string) => readonly string[]][] = [
  ["is unplugged", (port) => ["ip", "link", "set", port, "down"], (port) => ["ip", "link", "set", port, "up"]],
  ["loses what goes to the agent", (port) => dropping(`oifname ${port}`), () => ["nft", "delete", "table", "bridge", "cut"]],
  ["loses what comes from the agent", (port) => dropping(`iifname ${port}`), () => ["nft", "delete", "table", "bridge", "cut"]],
];

const dropping = (what: string): readonly string[] => [
  "nft",
  `add table bridge cut; add chain bridge cut forward { type filter hook forward priority 0; }; add rule bridge cut forward ${what} drop`,
];

describe("a feed whose link dies without a word", function () {
  this.timeout(180_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;

  before(async () => {
    const registryConfig = { feed: { heartbeatMs: HEARTBEAT_MS } };
    const lab = stack.use(await startLab({ name: `t-half-${process.pid}`, agents: 1, devices: CUTS.length, registryConfig }));
    scene = stack.use(await Scene.open(lab));
  });
  after(() => stack.disposeAsync());

  const state = async () => (await agentStatus(scene.lab.plan, scene.host()))?.state;
  const connected = async () => {
    const control = await openControl({ socket: scene.lab.description.controlSocket });
    return (await control.get<RegistryStatus>("/status")).agents.connected;
  };

  for (const [index, [what, cut, mend]] of CUTS.entries()) {
    it(`is found by heartbeats on both sides when it ${what}, comes back, and nothing is lost`, async () => {
      const { plan } = scene.lab;
      const port = `p${members(plan).indexOf(scene.host())}`;
      await waitFor("the agent to be connected", async () => (await connected()) === 1 || undefined, { timeoutMs: 40_000 });
      await run(inNetns(plan.bridge, cut(port)));
      // TCP alone would take a quarter of an hour; three heartbeats are 900 ms.
      await waitFor("the registry to find out", async () => (await connected()) === 0 || undefined);
      await waitFor("the agent to find out", async () => (await state()) === "detached" || undefined);
      const { status } = await scene.register(index, await scene.makeCode("half-open", 1), ["observed"]);
      expect(status).to.equal(201);
      await run(inNetns(plan.bridge, mend(port)));
      await waitFor("the agent to come back", async () => (await state()) === "enforcing" || undefined, { timeoutMs: 40_000 });
      await scene.applied(await scene.headRevision());
      expect(await scene.fetch(index)).to.equal("host1 answers");
    });
  }
});
