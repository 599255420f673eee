import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { startCapture } from "./capture.ts";
import { inNetns, run } from "./exec.ts";
import { startLab } from "./lab.ts";
import { LAB, type Member } from "./plan.ts";
import { findProcess, isAlive, sendSignal } from "./processes.ts";
import { agentOf, agentStatus, startAgent, startRegistry } from "./programs.ts";
import { type Registered, Scene } from "./scene.ts";
import { waitFor } from "./wait.ts";

const SILENCE_MS = 500;

describe("the whole system, two restricted hosts", function () {
  this.timeout(60_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;

  before(async () => {
    const lab = stack.use(await startLab({ name: `t-system-${process.pid}`, agents: 2, devices: 3 }));
    scene = stack.use(await Scene.open(lab));
  });
  after(() => stack.disposeAsync());

  /** Registers, and resolves once every given host has it in force. @returns the device's id */
  async function registerOn(hosts: readonly Member[], device: number, addresses: readonly string[] = ["observed"]): Promise<string> {
    const { status, body } = await scene.register(device, await scene.makeCode("system", 1), addresses);
    expect(status, JSON.stringify(body)).to.equal(201);
    const revision = await scene.headRevision();
    await Promise.all(hosts.map((host) => scene.applied(revision, host)));
    return (body as Registered).device;
  }

  async function revokeOn(hosts: readonly Member[], device: string): Promise<void> {
    const { revision } = await scene.revoke(device);
    await Promise.all(hosts.map((host) => scene.applied(revision, host)));
  }

  async function kill(name: string): Promise<void> {
    const id = findProcess(scene.lab.plan.folder, name);
    if (!id) throw new Error(`${name} does not run`);
    sendSignal(id, "SIGKILL");
    await waitFor(`${name} to be gone`, () => !isAlive(id) || undefined);
  }

  /** Outcomes of knocking at each door of a host, and what the host sent back: nothing, for a stranger. */
  async function knock(device: number, host: Member): Promise<{ outcomes: readonly string[]; arrived: number; back: readonly string[] }> {
    const from = scene.device(device);
    await using capture = await startCapture(host.netns, `host ${from.address} or host ${from.address6}`);
    const doors = scene.doors(host);
    const knocks = await Promise.all(doors.map((door) => scene.probe(device).ask("connect", { ...door, timeoutMs: SILENCE_MS })));
    await scene.probe(device).ask("mark", { host: host.address, port: 9 });
    await capture.until("the last datagram", (packet) => packet.toPort === 9);
    const back = capture.packets.filter((packet) => packet.from === host.address || packet.from === host.address6);
    const arrived = new Set(
      capture.packets.filter((packet) => packet.text.startsWith("Flags [S]")).map((packet) => `${packet.to} ${packet.toPort}`),
    );
    return { outcomes: knocks.map((each) => each.outcome), arrived: arrived.size, back: back.map((packet) => packet.text) };
  }

  async function expectSilence(device: number, host: Member): Promise<void> {
    const { outcomes, arrived, back } = await knock(device, host);
    expect(outcomes).to.deep.equal(Array(8).fill("silent"));
    expect(arrived).to.equal(8);
    expect(back).to.deep.equal([]);
  }

  it("sends a stranger no packet of any kind, from no port, over IPv4 and IPv6", async () => {
    for (const host of scene.lab.plan.hosts) await expectSilence(0, host);
  });

  it("opens every host to a registered address and to no other, and closes them after revocation", async () => {
    const { hosts } = scene.lab.plan;
    const device = await registerOn(hosts, 0);
    expect(await scene.fetch(0, hosts[0]?.address)).to.equal("host1 answers");
    expect(await scene.fetch(0, hosts[1]?.address)).to.equal("host2 answers");
    for (const host of hosts) await expectSilence(1, host);
    await revokeOn(hosts, device);
    for (const host of hosts) await expectSilence(0, host);
  });

  it("opens them to a registered IPv6 address alone", async () => {
    const [host] = scene.lab.plan.hosts;
    if (!host) throw new Error("no host");
    const device = await registerOn([host], 0, [scene.device(0).address6]);
    expect(await scene.fetch(0, host.address6)).to.equal("host1 answers");
    await expectSilence(1, host);
    await revokeOn([host], device);
    await expectSilence(0, host);
  });

  it("lets not one packet of an open connection pass after revocation, in either direction", async () => {
    const host = scene.host();
    const device = await registerOn([host], 0);
    await using capture = await startCapture(host.netns, `host ${scene.device(0).address}`);
    const door = { host: host.address, port: LAB.servicePort };
    const { download, localPort } = await scene.probe(0).ask("download", { ...door, path: "/stream", ca: scene.ca });
    const running = () => capture.packets.filter((packet) => packet.toPort === localPort).length > 20 || undefined;
    await waitFor("the download to run", running);
    const { revision } = await scene.revokeNow(device);
    const appliedAt = await scene.applied(revision, host);
    await scene.probe(0).ask("speak", { download });
    await capture.until("the device's own byte", (packet) => packet.fromPort === localPort && packet.at > appliedAt);
    // Long enough for the host to send again what was not acknowledged, were it let.
    await delay(1_000);
    await scene.probe(0).ask("mark", { host: host.address, port: 9 });
    await capture.until("the last datagram", (packet) => packet.toPort === 9);
    const sent = capture.packets.filter((packet) => packet.from === host.address);
    expect(sent.length).to.be.above(20);
    expect(sent.filter((packet) => packet.at > appliedAt)).to.deep.equal([]);
    await scene.probe(0).ask("hangUp", { download });
  });

  it("answers no stranger while another program flushes everything, and has the full set back each time", async () => {
    const host = scene.host();
    await registerOn([host], 0);
    // Which of its two slots the sets stand in is the agent's own affair, and so is where the chain stands that says it.
    const standing = async () =>
      (await run(inNetns(host.netns, ["nft", "-s", "-t", "list", "ruleset"])))
        .replace(/\n+\tchain format_\d+_[ab] \{\n\t\}/, "")
        .replace(/\n+/g, "\n")
        .replace(/_[ab]\b/g, "");
    const before = await standing();
    expect(before).to.include("table inet entityos {").and.to.include("table inet entityos_floor {");
    const from = scene.device(2);
    await using capture = await startCapture(host.netns, `host ${from.address} or host ${from.address6}`);
    await scene.probe(2).ask("storm", { targets: scene.doors(host), everyMs: 2 });
    const door = { host: host.address, port: LAB.servicePort };
    for (let i = 0; i < 5; i++) {
      const knocked = capture.packets.length;
      await run(inNetns(host.netns, ["nft", "flush", "ruleset"]));
      await scene.probe(0).ask("watch", { ...door, everyMs: 2, timeoutMs: 20_000 });
      // A second resync may be under way: the monitor and the look each saw the flush.
      await waitFor("the ruleset as it was", async () => (await standing()) === before || undefined, { timeoutMs: 20_000 });
      await waitFor("200 knocks more", () => capture.packets.length >= knocked + 200 || undefined);
    }
    expect((await scene.probe(2).ask("calm", {})).answered).to.equal(0);
    await scene.probe(2).ask("mark", { host: host.address, port: 9 });
    await capture.until("the last datagram", (packet) => packet.toPort === 9);
    expect(capture.packets.filter((packet) => packet.from === host.address || packet.from === host.address6)).to.deep.equal([]);
  });

  it("answers no stranger, and nobody, when everything is flushed between an agent's death and its restart", async () => {
    const host = scene.host();
    await registerOn([host], 0);
    await kill(agentOf(host));
    await run(inNetns(host.netns, ["nft", "flush", "ruleset"]));
    await expectSilence(1, host);
    await expectSilence(0, host);
    await startAgent(scene.lab.plan, host);
    expect(await scene.fetch(0, host.address)).to.equal("host1 answers");
    await expectSilence(1, host);
  });

  it("keeps the gate while an agent is killed, and has it catch up when it comes back", async () => {
    const [first, second] = scene.lab.plan.hosts;
    if (!first || !second) throw new Error("no hosts");
    await registerOn([first, second], 0);
    await kill(agentOf(first));
    expect(await scene.fetch(0, first.address)).to.equal("host1 answers");
    await expectSilence(1, first);
    await registerOn([second], 1);
    expect(await scene.fetch(1, second.address)).to.equal("host2 answers");
    await expectSilence(1, first);
    await startAgent(scene.lab.plan, first);
    await scene.applied(await scene.headRevision(), first);
    expect(await scene.fetch(1, first.address)).to.equal("host1 answers");
    await expectSilence(2, first);
  });

  it("changes nothing while the registry is killed, and goes on when it comes back", async () => {
    const [host] = scene.lab.plan.hosts;
    if (!host) throw new Error("no host");
    const device = await registerOn([host], 0);
    await kill("registry");
    await waitFor("the agent to notice", async () => (await agentStatus(scene.lab.plan, host))?.state === "detached" || undefined);
    expect(await scene.fetch(0, host.address)).to.equal("host1 answers");
    await expectSilence(2, host);
    await startRegistry(scene.lab.plan);
    const connected = async () => (await agentStatus(scene.lab.plan, host))?.state === "enforcing" || undefined;
    await waitFor("the agent to come back", connected, { timeoutMs: 40_000 });
    await registerOn([host], 2);
    expect(await scene.fetch(2, host.address)).to.equal("host1 answers");
    await revokeOn([host], device);
  });
});
