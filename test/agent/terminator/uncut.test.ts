import { expect } from "chai";
import type { Flow } from "../../../agent/target.ts";
import { runsAs } from "../../../agent/terminator/running.ts";
import { waitFor } from "../../lab/wait.ts";
import { ask, GET, get, open } from "./client.ts";
import { download } from "./download.ts";
import { dyingCut, nextHaproxyTarget } from "./next-agent.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const BINDING = `${DEVICE} 127.0.0.1/32`;
const { signal } = new AbortController();

describe("what ended at HAProxy, and could not be cut at once", function () {
  this.timeout(60_000);
  let pki: Pki;
  before(async () => {
    pki = await makeTestPki();
  });
  const bound = async (scene: TerminatorScene): Promise<ClientCertificate> => {
    const certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "both");
    const body = JSON.stringify({ expiresAt: Date.now() + HOUR_MS });
    scene.desired.change({ kind: "trust.set", target: "binding", id: BINDING, body });
    await scene.apply();
    return certificate;
  };
  it("is cut by the next try, though HAProxy knows already that the binding ended, and once", async () => {
    const cut: number[] = [];
    let fails = false;
    const cutting = async (flows: readonly Flow[]) => {
      if (fails) throw new Error("the firewall is away");
      cut.push(...flows.map(({ port }) => port));
    };
    await using scene = await makeTerminatorScene({ pki, target: { cut: cutting } });
    const port = (await download(scene.ports.ipcert, pki, await bound(scene))).localPort;
    scene.desired.change({ kind: "trust.remove", target: "binding", id: BINDING });
    fails = true;
    const failure = await scene.apply().catch((error: Error) => error.message);
    expect([failure, cut]).to.deep.equal(["the firewall is away", []]);
    fails = false;
    await scene.target.resync(scene.desired, signal);
    expect(cut).to.deep.equal([port]);
    const other = await pki.issue(DEVICE);
    await scene.register(other, DEVICE, "cert");
    await download(scene.ports.roaming, pki, other);
    await scene.target.resync(scene.desired, signal);
    expect(cut).to.deep.equal([port]);
  });

  it("is cut by the next agent, where the last one died between the two", async () => {
    const dying = dyingCut();
    await using scene = await makeTerminatorScene({ pki, target: { cut: dying.cut } });
    const port = (await download(scene.ports.ipcert, pki, await bound(scene))).localPort;
    scene.desired.change({ kind: "trust.remove", target: "binding", id: BINDING });
    const dead = scene.apply().catch(() => {});
    await dying.begun;
    const cut: number[] = [];
    await using next = nextHaproxyTarget(scene, cut);
    await next.resync(scene.desired, signal);
    dying.kill();
    await dead;
    expect(cut).to.deep.equal([port]);
  });

  it("is ended with the replaced worker that answers nothing, and holds up no further revocation", async () => {
    await using scene = await makeTerminatorScene({ pki });
    const [stays, first, second] = [await pki.issue(DEVICE), await pki.issue(DEVICE), await pki.issue(DEVICE)];
    for (const certificate of [stays, first, second]) await scene.register(certificate, DEVICE, "cert");
    const statusOf = async (certificate: ClientCertificate) => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
    await download(scene.ports.roaming, pki, stays);
    await scene.target.resync(scene.desired, signal);
    const [silent = 0] = await scene.replacedWorkers();
    process.kill(silent, "SIGSTOP");
    const running = await download(scene.ports.roaming, pki, first);
    const revoked = scene.revoke(first);
    await waitFor("the worker that is well to be told first", async () => (await statusOf(first)) === null || undefined);
    await running.ended;
    expect(scene.cut.map(({ port }) => port)).to.include(running.localPort);
    expect(runsAs(silent, "haproxy")).to.equal(true);
    await revoked;
    expect(runsAs(silent, "haproxy") ?? false).to.equal(false);
    await scene.revoke(second);
    expect([await statusOf(stays), await statusOf(second), await scene.replacedWorkers()]).to.deep.equal([200, null, []]);
  });

  it("ends at every worker all the same, is refused there, and is owed", async () => {
    let fails = true;
    const cut: number[] = [];
    const cutting = async (flows: readonly Flow[]) => {
      if (fails) throw new Error("the firewall is away");
      cut.push(...flows.map(({ port }) => port));
    };
    await using scene = await makeTerminatorScene({ pki, target: { cut: cutting } });
    const [certificate, stays] = [await pki.issue(DEVICE), await pki.issue(DEVICE)];
    for (const one of [certificate, stays]) await scene.register(one, DEVICE, "cert");
    const kept = await open(scene.ports.roaming, { ca: pki.root, certificate });
    expect((await ask(kept, GET)).status).to.equal(200);
    const keptPort = Number(kept.localPort);
    const before = await download(scene.ports.roaming, pki, certificate);
    await scene.target.resync(scene.desired, signal);
    const after = await download(scene.ports.roaming, pki, certificate);
    const other = await download(scene.ports.roaming, pki, stays);
    expect(await scene.revoke(certificate).catch((error: Error) => error.message)).to.equal("the firewall is away");
    await Promise.all([before.ended, after.ended]);
    expect((await ask(kept, GET)).status).to.equal(null);
    fails = false;
    await scene.target.resync(scene.desired, signal);
    expect(cut).to.have.members([keptPort, before.localPort, after.localPort, other.localPort]);
  });
});
