import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { waitFor } from "../../lab/wait.ts";
import { ask, GET, get, open } from "./client.ts";
import { HOUR_MS, makeTestPki } from "./pki.ts";
import { makeTerminatorScene } from "./scene.ts";

const [DEVICE, OTHER] = ["0198f2c1-7d1e-7000-8000-0123456789ab", "0198f2c1-7d1e-7000-8000-0123456789ac"];

/** Until it is disposed of, nginx first in the path tells that it was started and waits until it is let go. */
function slowNginx() {
  const folder = mkdtempSync(join(tmpdir(), "eos-slow-nginx-"));
  const [began, go] = [join(folder, "began"), join(folder, "go")];
  const { PATH } = process.env;
  const script = `#!/bin/sh\n: >${began}\nwhile [ ! -e ${go} ]; do sleep 0.02; done\nPATH='${PATH}' exec nginx "$@"\n`;
  writeFileSync(join(folder, "nginx"), script);
  chmodSync(join(folder, "nginx"), 0o755);
  process.env.PATH = `${folder}:${PATH}`;
  return {
    began: () => existsSync(began),
    go: () => writeFileSync(go, ""),
    [Symbol.dispose]() {
      process.env.PATH = PATH;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describe("nginx that is about to be reloaded for a list", () => {
  it("keeps no revocation waiting, nor what time ends, nor does the list itself wait for it", async () => {
    let aheadMs = 0;
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ kind: "nginx", pki, target: { tendMs: 20, now: () => Date.now() + aheadMs } });
    const certificate = await pki.issue(DEVICE, { lifeMs: 4 * HOUR_MS });
    await scene.register(certificate, DEVICE, "cert");
    const short = await pki.issue(OTHER, { lifeMs: HOUR_MS });
    await scene.register(short, OTHER, "cert");
    const standing = await open(scene.ports.roaming, { ca: pki.root, certificate: short });
    expect((await ask(standing, GET)).status).to.equal(200);
    const status = async () => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
    expect(await status()).to.equal(200);
    const workers = await scene.workers();
    using slow = slowNginx();
    scene.desired.change({ kind: "trust.set", target: "crl", id: pki.deviceCaId, body: await pki.crl("device", 2) });
    await scene.apply();
    await waitFor("nginx to check its configuration", () => slow.began() || undefined);
    await scene.revoke(certificate);
    expect(await status()).to.equal(null);
    aheadMs = 2 * HOUR_MS;
    await waitFor("a cut", () => scene.cut.some(({ port }) => port === standing.localPort) || undefined);
    expect(await scene.workers()).to.deep.equal(workers);
    standing.destroy();
    slow.go();
    const replaced = async () => (await scene.workers()).every((pid) => !workers.includes(pid)) || undefined;
    await waitFor("the reload", replaced);
    expect(await status()).to.equal(null);
  }).timeout(60_000);
});
