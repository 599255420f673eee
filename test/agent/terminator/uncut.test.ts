import { once } from "node:events";
import { expect } from "chai";
import type { Flow } from "../../../agent/target.ts";
import { runsAs } from "../../../agent/terminator/running.ts";
import { waitFor } from "../../lab/wait.ts";
import { get, open } from "./client.ts";
import { nextHaproxyTarget } from "./next-agent.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const BINDING = `${DEVICE} 127.0.0.1/32`;
const STREAM = "GET /stream HTTP/1.1\r\nHost: service.example\r\n\r\n";
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
  /** A download that runs: the port that it goes to. */
  const download = async (port: number, certificate: ClientCertificate): Promise<number> => {
    const socket = await open(port, { ca: pki.root, certificate });
    socket.on("error", () => {}).write(STREAM);
    await once(socket, "data");
    socket.resume();
    return Number(socket.localPort);
  };

  it("is cut by the next try, though HAProxy knows already that the binding ended, and once", async () => {
    const cut: number[] = [];
    let fails = false;
    const cutting = async (flows: readonly Flow[]) => {
      if (fails) throw new Error("the firewall is away");
      cut.push(...flows.map(({ port }) => port));
    };
    await using scene = await makeTerminatorScene({ pki, target: { cut: cutting } });
    const port = await download(scene.ports.ipcert, await bound(scene));
    scene.desired.change({ kind: "trust.remove", target: "binding", id: BINDING });
    fails = true;
    const failure = await scene.apply().catch((error: Error) => error.message);
    expect([failure, cut]).to.deep.equal(["the firewall is away", []]);
    fails = false;
    await scene.target.resync(scene.desired, signal);
    expect(cut).to.deep.equal([port]);
    const other = await pki.issue(DEVICE);
    await scene.register(other, DEVICE, "cert");
    await download(scene.ports.roaming, other);
    await scene.target.resync(scene.desired, signal);
    expect(cut).to.deep.equal([port]);
  });

  it("is cut by the next agent, where the last one died between the two", async () => {
    const [begun, killed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const dying = async () => {
      begun.resolve();
      await killed.promise;
      throw new Error("killed");
    };
    await using scene = await makeTerminatorScene({ pki, target: { cut: dying } });
    const port = await download(scene.ports.ipcert, await bound(scene));
    scene.desired.change({ kind: "trust.remove", target: "binding", id: BINDING });
    const dead = scene.apply().catch(() => {});
    await begun.promise;
    const cut: number[] = [];
    await using next = nextHaproxyTarget(scene, cut);
    await next.resync(scene.desired, signal);
    killed.resolve();
    await dead;
    expect(cut).to.deep.equal([port]);
  });

  it("is ended with the replaced worker that answers nothing, and holds up no further revocation", async () => {
    await using scene = await makeTerminatorScene({ pki });
    const [stays, first, second] = [await pki.issue(DEVICE), await pki.issue(DEVICE), await pki.issue(DEVICE)];
    for (const certificate of [stays, first, second]) await scene.register(certificate, DEVICE, "cert");
    const statusOf = async (certificate: ClientCertificate) => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
    await download(scene.ports.roaming, stays);
    await scene.target.resync(scene.desired, signal);
    const [silent = 0] = await scene.replacedWorkers();
    process.kill(silent, "SIGSTOP");
    const revoked = scene.revoke(first);
    await waitFor("the worker that is well to be told first", async () => (await statusOf(first)) === null || undefined);
    expect(runsAs(silent, "haproxy")).to.equal(true);
    await revoked;
    expect(runsAs(silent, "haproxy") ?? false).to.equal(false);
    await scene.revoke(second);
    expect([await statusOf(stays), await statusOf(second), await scene.replacedWorkers()]).to.deep.equal([200, null, []]);
  });
});
