import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { waitFor } from "../../lab/wait.ts";
import { get } from "./client.ts";
import { type ClientCertificate, makeTestPki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";

/** An HAProxy that has read the agent's files and waits for another one, which never comes to say anything. */
interface Starting extends AsyncDisposable {
  goOn(): Promise<void>;
}

async function beginToStart({ config }: TerminatorScene): Promise<Starting> {
  const { terminator, stateDir } = config;
  const more = join(dirname(stateDir), "more.cfg");
  execFileSync("mkfifo", [more]);
  const files = [join(currentLink(stateDir), "haproxy.cfg"), more].flatMap((file) => ["-f", file]);
  // Its own group: with it go the workers.
  const child = spawn("haproxy", ["-W", "-S", `${terminator.masterSocket},mode,600`, ...files], { stdio: "ignore", detached: true });
  const writer = await open(more, "w");
  return {
    async goOn() {
      // A reload reads it again.
      rmSync(more);
      writeFileSync(more, "");
      await writer.close();
    },
    [Symbol.asyncDispose]: () => killed(child),
  };
}

async function killed(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  process.kill(-(child.pid ?? 0), "SIGKILL");
  await exited;
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
});
