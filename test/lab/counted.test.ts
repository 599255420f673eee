import { expect } from "chai";
import { inNetns, run } from "./exec.ts";
import { startLab } from "./lab.ts";
import { LAB } from "./plan.ts";
import { Scene } from "./scene.ts";
import { waitFor, within } from "./wait.ts";

/** Connections that a source may hold open in lane roaming. */
const MOST = 3;
const STREAM = "/stream?bytesPerSecond=100000";

describe("a source whose connections were cut in front of nginx", function () {
  this.timeout(180_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;

  before(async () => {
    const gate = { lanes: { ip: true, ipcert: true, roaming: true }, openConnections: { roaming: MOST } };
    const name = `t-counted-${process.pid}`;
    const lab = stack.use(await startLab({ name, agents: 1, devices: 1, terminator: "nginx", agentConfig: { gate } }));
    scene = stack.use(await Scene.open(lab));
  });
  after(() => stack.disposeAsync());

  for (const family of ["address", "address6"] as const)
    it(`has room for as many again at once, over IPv${family === "address" ? 4 : 6}`, async () => {
      const probe = scene.probe(0);
      const code = await scene.makeCode(family, 2, LAB.certProfile);
      const { device, client } = await scene.certify(0, code);
      await scene.applied(await scene.headRevision());
      const host = scene.host()[family];
      const request = { host, port: LAB.servicePort, ca: scene.ca };
      const downloads = async (shown: typeof client) => {
        const all = Array.from({ length: MOST }, () => probe.ask("download", { ...request, path: STREAM, client: shown }));
        return Promise.all(all);
      };
      const tracked = async () => {
        const table = ["conntrack", "--dump", "--family", family === "address" ? "ipv4" : "ipv6", "--proto", "tcp"];
        const said = await run(inNetns(scene.host().netns, table));
        return opened.filter(({ localPort }) => said.includes(` sport=${localPort} dport=${LAB.servicePort} `)).length;
      };
      const opened = await downloads(client);
      const first = opened.map(({ download }) => download);
      expect(await tracked()).to.equal(MOST);
      const refused = await probe.ask("connect", { host, port: LAB.servicePort, timeoutMs: 1_000 });
      expect(refused.outcome).to.equal("silent");

      await scene.applied((await scene.revokeNow(device)).revision);
      // An RST alone would leave them there for ten seconds at least.
      await waitFor("connection tracking to forget", async () => (await tracked()) === 0 || undefined, { timeoutMs: 8_000 });
      const next = (await scene.certify(0, code)).client;
      await scene.applied(await scene.headRevision());
      // Nothing of the first ones reaches either end, and their client still has them open.
      const before = await Promise.all(first.map((download) => probe.ask("progress", { download })));
      expect(before.map(({ open }) => open)).to.deep.equal([true, true, true]);
      const second = (await within(() => "room for as many", 20_000, downloads(next))).map(({ download }) => download);
      expect(second.length).to.equal(MOST);
      const after = await Promise.all(first.map((download) => probe.ask("progress", { download })));
      expect(after.map(({ bytes }) => bytes)).to.deep.equal(before.map(({ bytes }) => bytes));
      for (const download of [...first, ...second]) await probe.ask("hangUp", { download });
    });
});
