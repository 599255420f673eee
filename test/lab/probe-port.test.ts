import { expect } from "chai";
import { PORT } from "../../lib/service.ts";
import { inNetns, run } from "./exec.ts";
import { startLab } from "./lab.ts";
import { LAB } from "./plan.ts";
import { findProcess, isAlive, sendSignal } from "./processes.ts";
import { agentOf, agentStatus, startAgent, startTerminator, terminatorOf } from "./programs.ts";
import { Scene } from "./scene.ts";
import { waitFor } from "./wait.ts";

const NAMED = 0;
const ELSEWHERE = 1;

describe("the probe port of a host", function () {
  this.timeout(180_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;

  before(async () => {
    const probe = { port: PORT.probe, networks: ["203.0.113.101/32", "2001:db8::101/128"] };
    const agentConfig = { gate: { lanes: { ip: true }, probe }, stale: { afterSeconds: 1, action: "close" } };
    const lab = stack.use(await startLab({ name: `t-probe-${process.pid}`, agents: 1, devices: 2, agentConfig }));
    scene = stack.use(await Scene.open(lab));
  });
  after(() => stack.disposeAsync());

  /** Status of the answer; "none" when there is none. */
  async function askFrom(device: number, family: 4 | 6): Promise<string> {
    const { address, address6 } = scene.host();
    const url = `http://${family === 4 ? address : `[${address6}]`}:${PORT.probe}/`;
    const curl = ["curl", "-s", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}", url];
    const said = await run(inNetns(scene.device(device).netns, curl)).catch(() => "none");
    return said === "000" ? "none" : said;
  }
  const becomes = (answer: string, family: 4 | 6 = 4) =>
    waitFor(`the probe port to answer ${answer}`, async () => (await askFrom(NAMED, family)) === answer || undefined, {
      timeoutMs: 20_000,
    });

  async function end(name: string): Promise<void> {
    const id = findProcess(scene.lab.plan.folder, name);
    if (!id) throw new Error(`${name} does not run`);
    sendSignal(id, "SIGKILL");
    await waitFor(`${name} to be gone`, () => !isAlive(id) || undefined);
  }

  it("answers a named network over IPv4 and IPv6, and is silent to anywhere else, the registered included", async () => {
    const { status } = await scene.register(ELSEWHERE, await scene.makeCode("probe", 1), ["observed"]);
    expect(status).to.equal(201);
    await scene.applied(await scene.headRevision());
    expect(await scene.fetch(ELSEWHERE)).to.equal("host1 answers");
    await becomes("200");
    await becomes("200", 6);
    for (const host of [scene.host().address, scene.host().address6]) {
      const knock = await scene.probe(ELSEWHERE).ask("connect", { host, port: PORT.probe, timeoutMs: 500 });
      expect(knock.outcome).to.equal("silent");
      const door = await scene.probe(NAMED).ask("connect", { host, port: LAB.servicePort, timeoutMs: 500 });
      expect(door.outcome).to.equal("silent");
    }
  });

  it("answers 503 while the agent is dead, and 200 when it enforces again", async () => {
    await end(agentOf(scene.host()));
    await becomes("503");
    await startAgent(scene.lab.plan, scene.host());
    await becomes("200");
  });

  it("does not answer while the terminator is dead", async () => {
    await end(terminatorOf(scene.host()));
    await becomes("none");
    await startTerminator(scene.lab.plan, scene.host());
    await becomes("200");
  });

  it("answers 503 when the agent closes the gate, as the registry is silent for longer than the host is patient", async () => {
    await end("registry");
    await waitFor("the agent to close", async () => (await agentStatus(scene.lab.plan, scene.host()))?.state === "closed" || undefined);
    await becomes("503");
  });
});
