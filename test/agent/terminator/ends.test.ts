import { renameSync } from "node:fs";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import type { Flow } from "../../../agent/target.ts";
import { waitFor } from "../../lab/wait.ts";
import { ask, GET, get, open } from "./client.ts";
import { download } from "./download.ts";
import { nextAgent, nextHaproxyTarget } from "./next-agent.ts";
import { HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const [DEVICE, OTHER] = ["0198f2c1-7d1e-7000-8000-0123456789ab", "0198f2c1-7d1e-7000-8000-0123456789ac"];
const BINDING = `${DEVICE} 127.0.0.1/32`;
/** Long enough for a connection and a request on a busy machine. */
const SHORT_MS = 12_000;

for (const kind of TERMINATORS) {
  describe(`what ends without a word of the registry: ${kind}`, function () {
    this.timeout(60_000);
    let pki: Pki;
    let scene: TerminatorScene;
    let aheadMs = 0;
    before(async () => {
      pki = await makeTestPki();
    });
    beforeEach(async () => {
      aheadMs = 0;
      scene = await makeTerminatorScene({ kind, pki, target: { tendMs: 20, now: () => Date.now() + aheadMs } });
    });
    afterEach(async () => {
      await scene[Symbol.asyncDispose]();
    });
    const certified = async (pattern: string, device: string, lifeMs = 4 * HOUR_MS) => {
      const certificate = await pki.issue(device, { lifeMs });
      await scene.register(certificate, device, pattern);
      return certificate;
    };
    /** A connection that was served and stands open, and its port. */
    const idle = async (port: number, certificate: Awaited<ReturnType<typeof certified>>) => {
      const socket = await open(port, { ca: pki.root, certificate });
      expect((await ask(socket, GET)).status).to.equal(200);
      return { socket, localPort: Number(socket.localPort) };
    };
    const bind = (expiresAt: number) =>
      void scene.desired.change({ kind: "trust.set", target: "binding", id: BINDING, body: JSON.stringify({ expiresAt }) });
    const cutPorts = () => [...new Set(scene.cut.map(({ port }) => port))];
    const wait = (port: number) => waitFor("a cut", () => cutPorts().includes(port) || undefined);
    const resync = () => scene.target.resync(scene.desired, new AbortController().signal);

    it("a certificate on a connection that stands open: its next request is not served, before anybody looks after connections", async () => {
      await using alone = await makeTerminatorScene({ kind, pki, target: { tendMs: HOUR_MS } });
      const certificate = await pki.issue(DEVICE, { lifeMs: SHORT_MS });
      await alone.register(certificate, DEVICE, "cert");
      const socket = await open(alone.ports.roaming, { ca: pki.root, certificate });
      socket.on("error", () => {});
      expect((await ask(socket, GET)).status).to.equal(200);
      await waitFor("its end", () => Date.now() > certificate.notAfter + 1_000 || undefined, { timeoutMs: 2 * SHORT_MS });
      expect(await ask(socket, GET)).to.deep.equal({ status: null, body: "" });
      socket.destroy();
    });

    it("a certificate and a binding, in the middle of a download each", async () => {
      const bound = await certified("both", DEVICE);
      bind(Date.now() + HOUR_MS);
      await scene.apply();
      const first = await download(scene.ports.ipcert, pki, bound);
      const second = await download(scene.ports.roaming, pki, await certified("cert", OTHER, 3 * HOUR_MS));
      expect(scene.cut).to.deep.equal([]);
      aheadMs = 2 * HOUR_MS;
      await wait(first.localPort);
      expect(cutPorts()).to.deep.equal([first.localPort]);
      aheadMs = 3 * HOUR_MS;
      await wait(second.localPort);
      expect(cutPorts()).to.deep.equal([first.localPort, second.localPort]);
      for (const { socket } of [first, second]) socket.destroy();
    });

    it("a certificate in the middle of a download, while a configuration is refused", async () => {
      const certificate = await certified("cert", DEVICE);
      const running = await download(scene.ports.roaming, pki, certificate);
      const file = scene.config.terminator.certificate;
      renameSync(file, `${file}.away`);
      const tried = () =>
        resync().then(
          () => "taken",
          (error: Error) => error.constructor.name,
        );
      expect(await tried()).to.equal("TerminatorRefusedError");
      expect(scene.cut).to.deep.equal([]);
      aheadMs = 4 * HOUR_MS;
      await wait(running.localPort);
      expect(await tried()).to.equal("TerminatorRefusedError");
      expect(cutPorts()).to.deep.equal([running.localPort]);
      renameSync(`${file}.away`, file);
      running.socket.destroy();
    });

    if (kind === "haproxy")
      it("a binding while no agent ran, though the next one looks after connections before it has its state", async () => {
        const certificate = await certified("both", DEVICE);
        bind(Date.now() + HOUR_MS);
        await scene.apply();
        const running = await download(scene.ports.ipcert, pki, certificate);
        await scene.target[Symbol.asyncDispose]();
        let looks = 0;
        const now = () => {
          looks++;
          return Date.now() + 2 * HOUR_MS;
        };
        const cut: number[] = [];
        await using next = nextHaproxyTarget(scene, cut, { tendMs: 20, now });
        await waitFor("two looks", () => looks >= 2 || undefined);
        await next.resync(scene.desired, new AbortController().signal);
        await waitFor("the cut", () => cut.length > 0 || undefined);
        expect([...new Set(cut)]).to.deep.equal([running.localPort]);
        running.socket.destroy();
      });

    it("one of two bindings that hold an address: nothing does before the other one ends", async () => {
      const certificate = await certified("both", DEVICE);
      const wider = `${DEVICE} 127.0.0.0/24`;
      bind(Date.now() + HOUR_MS);
      scene.desired.change({
        kind: "trust.set",
        target: "binding",
        id: wider,
        body: JSON.stringify({ expiresAt: Date.now() + 3 * HOUR_MS }),
      });
      await scene.apply();
      const running = await download(scene.ports.ipcert, pki, certificate);
      aheadMs = 2 * HOUR_MS;
      scene.desired.change({ kind: "trust.remove", target: "binding", id: BINDING });
      await scene.apply();
      await resync();
      expect(scene.cut).to.deep.equal([]);
      scene.desired.change({ kind: "trust.remove", target: "binding", id: wider });
      await scene.apply();
      expect(cutPorts()).to.deep.equal([running.localPort]);
      running.socket.destroy();
    });

    it("a pattern that is another one by the time of a resync, in the middle of a download", async () => {
      const certificate = await certified("cert", DEVICE);
      const [mine, others] = [
        await download(scene.ports.roaming, pki, certificate),
        await download(scene.ports.roaming, pki, await certified("cert", OTHER)),
      ];
      const standing = await idle(scene.ports.roaming, certificate);
      const { fingerprint, serial, notAfter } = certificate;
      const body = JSON.stringify({ device: DEVICE, pattern: "both", subject: "alice", serial, issuer: pki.deviceCaId, notAfter });
      scene.desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
      await resync();
      expect(cutPorts()).to.have.members([mine.localPort, standing.localPort]);
      // Cut is nothing here: a worker that was replaced refuses it by itself.
      expect((await ask(standing.socket, GET)).status).to.equal(null);
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(null);
      for (const { socket } of [mine, others, standing]) socket.destroy();
    });

    it("lane roaming, in the middle of a download by a certificate that was let into lane ipcert because of it", async () => {
      await scene[Symbol.asyncDispose]();
      scene = await makeTerminatorScene({ kind, pki, target: { tendMs: HOUR_MS } });
      const certificate = await certified("cert", DEVICE);
      const [ended, stays] = [await download(scene.ports.ipcert, pki, certificate), await download(scene.ports.ip, pki, certificate)];
      const { gate } = scene.config;
      const config = { ...scene.config, gate: { ...gate, lanes: { ...gate.lanes, roaming: false } } };
      scene.target.configure(config);
      await resync();
      // Whose lane a connection is in HAProxy's worker does not say: all with a certificate end, and who still counts comes back.
      expect(cutPorts()).to.have.members([ended.localPort, ...(kind === "haproxy" ? [stays.localPort] : [])]);
      expect((await get(scene.ports.ipcert, { ca: pki.root, certificate })).status).to.equal(null);
      expect((await get(scene.ports.ip, { ca: pki.root, certificate })).status).to.equal(200);
      scene.cut.length = 0;
      await resync();
      expect(scene.cut).to.deep.equal([]);
      for (const { socket } of [ended, stays]) socket.destroy();
    });

    it("lane roaming, by the next agent's configuration", async () => {
      const certificate = await certified("cert", DEVICE);
      const running = await download(scene.ports.ipcert, pki, certificate);
      const { gate } = scene.config;
      const narrower = { ...scene, config: { ...scene.config, gate: { ...gate, lanes: { ...gate.lanes, roaming: false } } } };
      const cut: number[] = [];
      const renewed = async () => {
        if (kind === "nginx") {
          const flows: Flow[] = [];
          await nextAgent(narrower, { family: 4, address: "127.0.0.1", port: running.localPort }, flows);
          cut.push(...flows.map(({ port }) => port));
        } else {
          await using next = nextHaproxyTarget(narrower, cut);
          await next.resync(scene.desired, new AbortController().signal);
        }
      };
      await renewed();
      expect(cut).to.deep.equal([running.localPort]);
      await renewed();
      expect(cut).to.deep.equal([running.localPort]);
      running.socket.destroy();
    });

    it("a binding that is gone by the time of a resync, in the middle of a download", async () => {
      const certificate = await certified("both", DEVICE);
      bind(Date.now() + HOUR_MS);
      await scene.apply();
      const [running, standing] = [await download(scene.ports.ipcert, pki, certificate), await idle(scene.ports.ipcert, certificate)];
      scene.desired.change({ kind: "trust.remove", target: "binding", id: BINDING });
      await resync();
      expect(cutPorts()).to.have.members([running.localPort, standing.localPort]);
      expect((await ask(standing.socket, GET)).status).to.equal(null);
      for (const { socket } of [running, standing]) socket.destroy();
    });
  });
}
