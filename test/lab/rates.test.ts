import { expect } from "chai";
import { TERMINATORS } from "../../agent/config.ts";
import { startLab } from "./lab.ts";
import { LAB } from "./plan.ts";
import { Scene } from "./scene.ts";

/** Requests of a source in ten seconds: nginx lets one more through, and makes up for one in ten seconds. */
const RATE = 1;
const MANY = 5;

for (const terminator of TERMINATORS)
  describe(`requests of a source over IPv6, in front of ${terminator}`, function () {
    this.timeout(90_000);
    const stack = new AsyncDisposableStack();
    let scene: Scene;

    before(async () => {
      const agentConfig = { gate: { lanes: { ip: true, ipcert: true, roaming: true } }, terminator: { requestsPer10s: RATE } };
      const name = `t-rates-${terminator}-${process.pid}`;
      const lab = stack.use(await startLab({ name, agents: 1, devices: 2, terminator, agentConfig }));
      scene = stack.use(await Scene.open(lab));
    });
    after(() => stack.disposeAsync());

    it("are counted for its /64: who asks from another address of it is over the limit too", async () => {
      const code = await scene.makeCode("rates", 2, LAB.certProfile);
      const [first, second] = [await scene.certify(0, code), await scene.certify(1, code)];
      await scene.applied(await scene.headRevision());
      const ask = (device: number, host: string, { client }: typeof first) =>
        scene
          .probe(device)
          .ask("get", { host, port: LAB.servicePort, path: "/", ca: scene.ca, timeoutMs: 3_000, client })
          .then(({ status }) => status)
          .catch(() => "silence" as const);
      const { address, address6 } = scene.host();
      expect(await ask(0, address6, first)).to.equal(200);
      const over = terminator === "haproxy" ? 429 : "silence";
      const all = await Promise.all(Array.from({ length: MANY }, () => ask(0, address6, first)));
      expect(all).to.include(over);
      expect(await ask(1, address6, second)).to.equal(over);
      // An address of IPv4 is a source of its own.
      expect(await ask(1, address, second)).to.equal(200);
    });
  });
