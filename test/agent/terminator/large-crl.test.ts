import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { DesiredState } from "../../../agent/desired.ts";
import { crlPem } from "../../../agent/terminator/entries.ts";
import { HaproxyTarget } from "../../../agent/terminator/haproxy.ts";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { NginxTarget } from "../../../agent/terminator/nginx.ts";
import { silentLog } from "../../../lib/log.ts";
import { waitFor } from "../../lab/wait.ts";
import { get } from "./client.ts";
import { makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const { signal } = new AbortController();

for (const kind of TERMINATORS) {
  describe(`lists that are too large for the feed, or for a command line: ${kind}`, () => {
    let pki: Pki;
    before(async () => {
      pki = await makeTestPki();
    });
    const replaced = (scene: TerminatorScene, workers: readonly number[]) =>
      waitFor("other workers", async () => (await scene.workers()).every((pid) => !workers.includes(pid)) || undefined);

    it("are known to an agent that starts anew while the registry is away", async () => {
      await using scene = await makeTerminatorScene({ kind, pki, terminator: { expiredCrl: "close" } });
      const certificate = await pki.issue(DEVICE);
      await scene.register(certificate, DEVICE, "cert");
      // What a fetched list leaves behind: its text in the terminator's files, its digest alone in the agent's state.
      const told = { ...JSON.parse(await pki.crl("device", 2)), der: null };
      const list = JSON.parse(await pki.crl("device", 1));
      scene.desired.change({
        kind: "trust.set",
        target: "crl",
        id: pki.deviceCaId,
        body: JSON.stringify({ ...told, sha256: list.sha256 }),
      });
      await scene.target[Symbol.asyncDispose]();
      const options = {
        config: scene.config,
        log: silentLog,
        signal,
        now: Date.now,
        cut: async () => {},
        fetchCrl: () => Promise.reject(new Error("the registry is away")),
      };
      const workers = await scene.workers();
      await using target = kind === "haproxy" ? new HaproxyTarget(options) : await NginxTarget.start(options);
      await target.resync(scene.desired, signal);
      await replaced(scene, workers);
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(200);
    });

    it("are given to the terminator in the end, though it refused its files at first for another reason", async () => {
      const refused = Promise.withResolvers<void>();
      const log = Object.assign(Object.create(silentLog), { error: () => refused.resolve() });
      await using scene = await makeTerminatorScene({ kind, pki, target: { log, crlReloadMs: 20 } });
      const { certificate } = scene.config.terminator;
      renameSync(certificate, `${certificate}.away`);
      const revoked = Array.from({ length: 400 }, (_, at) => ({
        serial: (at + 4096).toString(16),
        revokedAt: Date.now() - 1_000,
        reason: "superseded" as const,
      }));
      scene.desired.change({ kind: "trust.set", target: "crl", id: pki.deviceCaId, body: await pki.crl("device", 2, revoked) });
      await scene.apply();
      await refused.promise;
      const workers = await scene.workers();
      renameSync(`${certificate}.away`, certificate);
      await replaced(scene, workers);
    });
  });
}

describe("a first list that is too large for the feed, behind HAProxy", () => {
  it("is given to it in the end, though the configuration that names it was refused at first", async () => {
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ pki });
    await scene.target[Symbol.asyncDispose]();
    const file = join(currentLink(scene.config.stateDir), "crl.pem");
    rmSync(file);
    const list = JSON.parse(await pki.crl("device", 1));
    const desired = new DesiredState();
    for (const [target, id, body] of [
      ["ca", pki.rootId, pki.root],
      ["ca", pki.deviceCaId, pki.deviceCa],
      ["crl", pki.deviceCaId, JSON.stringify({ ...list, der: null })],
    ] as const)
      desired.change({ kind: "trust.set", target, id, body });
    const [away, refused] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using target = new HaproxyTarget({
      config: scene.config,
      log: Object.assign(Object.create(silentLog), { error: () => refused.resolve() }),
      signal,
      now: Date.now,
      crlReloadMs: 20,
      cut: async () => {},
      fetchCrl: async () => {
        await away.promise;
        return crlPem(list.der);
      },
    });
    await target.resync(desired, signal);
    const { certificate } = scene.config.terminator;
    renameSync(certificate, `${certificate}.away`);
    away.resolve();
    await refused.promise;
    expect(existsSync(file)).to.equal(false);
    renameSync(`${certificate}.away`, certificate);
    await waitFor("the list to be in force", () => existsSync(file) || undefined);
  });
});
