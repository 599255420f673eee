import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { createMaster } from "../../../agent/terminator/master.ts";
import { waitFor } from "../../lab/wait.ts";
import { get } from "./client.ts";
import { download } from "./download.ts";
import { killed } from "./hidden.ts";
import { dyingCut, nextHaproxyTarget } from "./next-agent.ts";
import { type ClientCertificate, makeTestPki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const { signal } = new AbortController();

/** An HAProxy that has read the agent's files and waits for another one, which never comes to say anything. */
interface Starting extends AsyncDisposable {
  goOn(): Promise<void>;
  /** Has it read its files anew, where it waits again before it comes to the agent's. */
  reloadSlowly(): Promise<Pick<Starting, "goOn">>;
}

async function beginToStart({ config }: TerminatorScene): Promise<Starting> {
  const { terminator, stateDir } = config;
  const [first, more] = ["first.cfg", "more.cfg"].map((name) => join(dirname(stateDir), name)) as [string, string];
  writeFileSync(first, "");
  execFileSync("mkfifo", [more]);
  const files = [first, join(currentLink(stateDir), "haproxy.cfg"), more].flatMap((file) => ["-f", file]);
  // Its own group: with it go the workers.
  const child = spawn("haproxy", ["-W", "-S", `${terminator.masterSocket},mode,600`, ...files], { stdio: "ignore", detached: true });
  const held = async (file: string) => {
    const writer = await waitFor("HAProxy to read", () => openedByAnother(file));
    return {
      async goOn() {
        // A reload reads it again.
        rmSync(file);
        writeFileSync(file, "");
        closeSync(writer);
      },
    };
  };
  return {
    ...(await held(more)),
    async reloadSlowly() {
      rmSync(first);
      execFileSync("mkfifo", [first]);
      // Its worker may serve before the master itself is there, and hears a signal.
      const master = createMaster(terminator.masterSocket);
      const heard = () => master.command("show proc", { signal: AbortSignal.timeout(1_000) }).catch(() => undefined);
      await waitFor("HAProxy's master", heard);
      process.kill(child.pid ?? 0, "SIGUSR2");
      return await held(first);
    },
    [Symbol.asyncDispose]: () => killed(child),
  };
}

/** A FIFO's end for writing, once somebody has opened it to read (fifo(7)). */
function openedByAnother(fifo: string): number | undefined {
  try {
    return openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

describe("an HAProxy that has read its files, and nobody can tell it anything yet", () => {
  it("refuses who is revoked at that moment and serves who is registered then, as soon as it can be told", async () => {
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ pki });
    const certified = async (): Promise<ClientCertificate> => {
      const certificate = await pki.issue(DEVICE);
      await scene.register(certificate, DEVICE, "cert");
      return certificate;
    };
    const answers = async (certificate: ClientCertificate) => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
    const [stays, revoked] = [await certified(), await certified()];
    await scene.killTerminator();
    await using starting = await beginToStart(scene);
    await scene.revoke(revoked);
    const late = await certified();
    await starting.goOn();
    await waitFor("it to serve who was registered before", async () => (await answers(stays)) === 200 || undefined);
    await waitFor("it to serve who was registered meanwhile", async () => (await answers(late)) === 200 || undefined);
    await waitFor("it to refuse who was revoked meanwhile", async () => (await answers(revoked)) === null || undefined);
    expect([await answers(stays), await answers(late), await answers(revoked)]).to.deep.equal([200, 200, null]);
  });

  it("refuses who is revoked at that moment, though the reload that is to tell it is refused", async () => {
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ pki });
    const [stays, revoked] = [await pki.issue(DEVICE), await pki.issue(DEVICE)];
    for (const certificate of [stays, revoked]) await scene.register(certificate, DEVICE, "cert");
    const answers = async (certificate: ClientCertificate) => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
    await scene.killTerminator();
    await using starting = await beginToStart(scene);
    await scene.revoke(revoked);
    const { certificate } = scene.config.terminator;
    renameSync(certificate, `${certificate}.away`);
    await starting.goOn();
    await waitFor("it to serve who was registered before", async () => (await answers(stays)) === 200 || undefined);
    await waitFor("it to refuse who was revoked meanwhile", async () => (await answers(revoked)) === null || undefined);
    expect(await answers(stays)).to.equal(200);
  });

  it("and that was reloaded behind the agent's back: a replaced worker loses what was revoked meanwhile", async () => {
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ pki });
    const certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
    await scene.target[Symbol.asyncDispose]();
    await scene.killTerminator();
    await using starting = await beginToStart(scene);
    await starting.goOn();
    const answers = async () => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
    await waitFor("it to serve", async () => (await answers()) === 200 || undefined);
    const { localPort } = await download(scene.ports.roaming, pki, certificate);
    const slow = await starting.reloadSlowly();
    scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
    const cut: number[] = [];
    await using target = nextHaproxyTarget(scene, cut);
    // It finds nobody yet, and what HAProxy is about to read names the new generation.
    await target.resync(scene.desired, signal);
    expect(cut).to.deep.equal([]);
    await slow.goOn();
    await waitFor("the replaced worker's download to be cut", () => cut.length > 0 || undefined);
    expect([cut, await answers()]).to.deep.equal([[localPort], null]);
  });

  it("and that is reloaded for long: what an agent that died owes is cut then, whatever the next one tells meanwhile", async () => {
    const pki = await makeTestPki();
    const dying = dyingCut();
    await using scene = await makeTerminatorScene({ pki, target: { cut: dying.cut } });
    const certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "both");
    const binding = { target: "binding", id: `${DEVICE} 127.0.0.1/32` } as const;
    scene.desired.change({ kind: "trust.set", ...binding, body: JSON.stringify({ expiresAt: certificate.notAfter }) });
    await scene.apply();
    await scene.killTerminator();
    await using starting = await beginToStart(scene);
    await starting.goOn();
    const answers = async () => (await get(scene.ports.ipcert, { ca: pki.root, certificate })).status;
    await waitFor("it to serve", async () => (await answers()) === 200 || undefined);
    const running = await download(scene.ports.ipcert, pki, certificate);
    scene.desired.change({ kind: "trust.remove", ...binding });
    const dead = scene.apply().catch(() => {});
    await dying.begun;
    const slow = await starting.reloadSlowly();
    const cut: number[] = [];
    await using next = nextHaproxyTarget(scene, cut);
    await next.resync(scene.desired, signal);
    scene.desired.acknowledgeAll();
    const { fingerprint, serial, notAfter } = await pki.issue(DEVICE);
    const body = JSON.stringify({ device: DEVICE, pattern: "cert", subject: "bob", serial, issuer: pki.deviceCaId, notAfter });
    scene.desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
    await next.apply(scene.desired, scene.desired.pending(), signal);
    expect(cut).to.deep.equal([]);
    await slow.goOn();
    await running.ended;
    expect(cut).to.deep.equal([running.localPort]);
    dying.kill();
    await dead;
  });
});
