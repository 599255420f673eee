import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { waitFor } from "../../lab/wait.ts";
import { get } from "./client.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";
import { startTraffic } from "./traffic.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const ENDED = { thisUpdate: Date.now() - 2 * HOUR_MS, nextUpdate: Date.now() - HOUR_MS };

for (const kind of TERMINATORS) {
  describe(`CRLs at the terminator: ${kind}`, () => {
    let pki: Pki;
    before(async () => {
      pki = await makeTestPki();
    });
    const setCrl = async (scene: TerminatorScene, of: "root" | "device", body: string) => {
      scene.desired.change({ kind: "trust.set", target: "crl", id: of === "root" ? pki.rootId : pki.deviceCaId, body });
      await scene.apply();
    };
    const statusOf = async (scene: TerminatorScene, certificate: ClientCertificate) =>
      (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
    const certified = async (scene: TerminatorScene) => {
      const certificate = await pki.issue(DEVICE);
      await scene.register(certificate, DEVICE, "cert");
      return certificate;
    };
    const replaced = (scene: TerminatorScene, workers: readonly number[]) =>
      waitFor("other workers", async () => (await scene.workers()).every((pid) => !workers.includes(pid)) || undefined);
    /** Whether a list ran out nginx knows after a reload alone, HAProxy at once. */
    const becomes = async (scene: TerminatorScene, certificate: ClientCertificate, status: number | null) => {
      const asked = async () => (await statusOf(scene, certificate)) === status || undefined;
      if (kind === "haproxy") expect(await asked()).to.equal(true);
      else await waitFor(`the answer ${status}`, asked);
    };
    /** nginx reads the newest lists. */
    const settled = async (scene: TerminatorScene) => {
      const workers = await scene.workers();
      await scene.target.resync(scene.desired, new AbortController().signal);
      await replaced(scene, workers);
    };
    const entry = ({ serial }: ClientCertificate) => ({ serial, revokedAt: Date.now() - 1_000, reason: "keyCompromise" }) as const;

    it("refuse a certificate by themselves and at once", async () => {
      await using scene = await makeTerminatorScene({ kind, pki });
      const certificate = await certified(scene);
      expect(await statusOf(scene, certificate)).to.equal(200);
      const workers = await scene.workers();
      await setCrl(scene, "device", await pki.crl("device", 2, [entry(certificate)]));
      expect(await statusOf(scene, certificate)).to.equal(null);
      // HAProxy is told at run time. The agent answers for nginx, which reads the list by a reload.
      if (kind === "haproxy") expect(await scene.workers()).to.deep.equal(workers);
      else await replaced(scene, workers);
    });

    it("of the root refuse all that a CA signed which they name, though it is registered and its own list says nothing", async () => {
      await using scene = await makeTerminatorScene({ kind, pki });
      const certificate = await certified(scene);
      expect(await statusOf(scene, certificate)).to.equal(200);
      const serial = new X509Certificate(pki.deviceCa).serialNumber.toLowerCase();
      await setCrl(scene, "root", await pki.crl("root", 2, [{ serial, revokedAt: Date.now() - 1_000, reason: "cessationOfOperation" }]));
      // The chain is nginx's to check, which reads the list by a reload.
      if (kind === "nginx") await settled(scene);
      expect(await statusOf(scene, certificate)).to.equal(null);
      await setCrl(scene, "root", await pki.crl("root", 3));
      if (kind === "nginx") await settled(scene);
      expect(await statusOf(scene, certificate)).to.equal(200);
    });

    it("that ran out lock nobody out, and hide no revocation by another CA's list", async () => {
      await using scene = await makeTerminatorScene({ kind, pki });
      const [good, revoked] = [await certified(scene), await certified(scene)];
      await setCrl(scene, "device", await pki.crl("device", 2, [entry(revoked)]));
      await setCrl(scene, "root", await pki.crl("root", 2, [], ENDED));
      expect(await statusOf(scene, good)).to.equal(200);
      expect(await statusOf(scene, revoked)).to.equal(null);
      if (kind === "nginx") await settled(scene);
      expect(await statusOf(scene, revoked)).to.equal(null);
      await setCrl(scene, "device", await pki.crl("device", 3, [entry(revoked)], ENDED));
      expect(await statusOf(scene, good)).to.equal(200);
      await scene.revoke(revoked);
      expect(await statusOf(scene, revoked)).to.equal(null);
    });

    it("that ran out close the lanes of certificates where the host is configured so", async () => {
      await using scene = await makeTerminatorScene({ kind, pki, terminator: { expiredCrl: "close" } });
      const certificate = await certified(scene);
      expect(await statusOf(scene, certificate)).to.equal(200);
      await setCrl(scene, "device", await pki.crl("device", 2, [], ENDED));
      await becomes(scene, certificate, null);
      await setCrl(scene, "device", await pki.crl("device", 3));
      await becomes(scene, certificate, 200);
    });

    it("and bundles are renewed, and the terminator reloaded, without one refused request of a registered device", async function () {
      this.timeout(120_000);
      await using scene = await makeTerminatorScene({ kind, pki, terminator: { requestsPer10s: 1_000_000 } });
      const certificate = await certified(scene);
      const [once, many] = ["a connection for each request", "one connection for many"] as const;
      await using traffic = startTraffic(scene.ports.roaming, { ca: pki.root, certificate }, [once, once, many, many]);
      const other = await makeTestPki();
      for (let number = 2; number < 22; number++) {
        await setCrl(
          scene,
          "device",
          await pki.crl("device", number, [{ serial: String(number).padStart(2, "0"), revokedAt: Date.now(), reason: "superseded" }]),
        );
        // Every update meets requests of each.
        await traffic.more(2);
        if (number % 7 === 0) {
          scene.desired.change({ kind: "trust.set", target: "ca", id: `device-${number}`, body: other.deviceCa });
          await scene.apply();
        }
      }
      await scene.target.resync(scene.desired, new AbortController().signal);
      await traffic.more(5);
    });
  });
}
