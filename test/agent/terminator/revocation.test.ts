import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { TLSSocket } from "node:tls";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { ask, GET, get, open } from "./client.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const OTHER = "0198f2c1-7d1e-7000-8000-0123456789ac";
const STREAM = "GET /stream HTTP/1.1\r\nHost: service.example\r\n\r\n";
const UPGRADE =
  "GET /socket HTTP/1.1\r\nHost: service.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/** Sends a request whose answer does not end, and resolves with its first bytes. */
async function begin(socket: TLSSocket, request: string): Promise<string> {
  socket.write(request);
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.resume();
  return data.toString("latin1").slice(0, 12);
}

/** Resolves when the connection is closed, by FIN or by RST. */
const closed = (socket: TLSSocket): Promise<unknown> => new Promise((resolve) => socket.once("close", resolve));

for (const kind of TERMINATORS) {
  describe(`revocation at the terminator: ${kind}`, () => {
    let pki: Pki;
    let scene: TerminatorScene;
    before(async () => {
      pki = await makeTestPki();
    });
    beforeEach(async () => {
      scene = await makeTerminatorScene({ kind, pki });
    });
    afterEach(async () => {
      await scene[Symbol.asyncDispose]();
    });
    const certified = async (pattern = "cert", device = DEVICE): Promise<ClientCertificate> => {
      const certificate = await pki.issue(device);
      await scene.register(certificate, device, pattern);
      return certificate;
    };
    const roam = (certificate: ClientCertificate) => open(scene.ports.roaming, { ca: pki.root, certificate });

    it("gives a connection that stands idle no further answer", async () => {
      const certificate = await certified();
      const socket = await roam(certificate);
      expect((await ask(socket, GET)).status).to.equal(200);
      await scene.revoke(certificate);
      expect(await ask(socket, GET)).to.deep.equal({ status: null, body: "" });
    });

    it("is over for a certificate that is registered again", async () => {
      const certificate = await certified();
      const statusOf = async () => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;
      await scene.revoke(certificate);
      expect(await statusOf()).to.equal(null);
      await scene.register(certificate, DEVICE, "cert");
      expect(await statusOf()).to.equal(200);
    });

    it("ends what is under way, a download, a WebSocket, an HTTP/2 stream, and cuts exactly their flows", async () => {
      const certificate = await certified();
      const download = await roam(certificate);
      expect(await begin(download, STREAM)).to.equal("HTTP/1.1 200");
      const web = await roam(certificate);
      expect(await begin(web, UPGRADE)).to.equal("HTTP/1.1 101");
      const ends = [download, web].map(closed);
      const ports = [download, web].map(({ localPort }) => Number(localPort));
      // nginx speaks HTTP/1.1 alone.
      if (kind === "haproxy") {
        const session = connectHttp2(`https://127.0.0.1:${scene.ports.roaming}`, {
          ca: pki.root,
          cert: certificate.cert,
          key: certificate.key,
        });
        session.on("error", () => {});
        const stream = session.request({ ":path": "/stream" });
        stream.on("error", () => {});
        await once(stream, "response");
        stream.resume();
        ends.push(once(stream, "close").finally(() => session.destroy()));
        ports.push(Number(session.socket.localPort));
      }
      await scene.revoke(certificate);
      expect(scene.cut.map(({ family, address, port }) => `${family} ${address} ${port}`).sort()).to.deep.equal(
        ports.map((port) => `4 127.0.0.1 ${port}`).sort(),
      );
      await Promise.all(ends);
    });

    it("leaves the connections of another device behind the same address alone", async () => {
      const [mine, others] = [await certified(), await certified("cert", OTHER)];
      const [revoked, kept] = [await roam(mine), await roam(others)];
      await begin(revoked, STREAM);
      await begin(kept, STREAM);
      const [ended, port] = [closed(revoked), revoked.localPort];
      await scene.revoke(mine);
      await ended;
      expect(scene.cut.map((flow) => flow.port)).to.deep.equal([port]);
      const before = kept.bytesRead;
      await once(kept, "data");
      expect(kept.bytesRead).to.be.greaterThan(before);
      kept.destroy();
    });

    it("of a prefix ends what a device of the pattern both has under way from there, and nothing else of it", async () => {
      const certificate = await certified("both");
      const bind = (prefix: string) =>
        scene.desired.change({
          kind: "trust.set",
          target: "binding",
          id: `${DEVICE} ${prefix}`,
          body: JSON.stringify({ expiresAt: Date.now() + HOUR_MS }),
        });
      for (const prefix of ["127.0.0.1/32", "::1/128"]) bind(prefix);
      await scene.apply();
      const [v4, v6] = await Promise.all(["127.0.0.1", "::1"].map((host) => open(scene.ports.ipcert, { ca: pki.root, certificate, host })));
      if (v4 === undefined || v6 === undefined) throw new Error("no connections");
      await begin(v4, STREAM);
      await begin(v6, STREAM);
      const [ended, port] = [closed(v6), v6.localPort];
      scene.desired.change({ kind: "trust.remove", target: "binding", id: `${DEVICE} ::1/128` });
      await scene.apply();
      await ended;
      expect(scene.cut).to.deep.equal([{ family: 6, address: "::1", port }]);
      await once(v4, "data");
      v4.destroy();
    });

    it("outlives the terminator's death, whatever it was told at run time", async () => {
      const [gone, kept] = [await certified(), await certified("cert", OTHER)];
      await scene.revoke(gone);
      await scene.killTerminator();
      await scene.startTerminator();
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate: gone })).status).to.equal(null);
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate: kept })).status).to.equal(200);
    });

    it("is known to a terminator that was not there when it came", async () => {
      const certificate = await certified();
      await scene.killTerminator();
      await scene.revoke(certificate);
      const late = await certified("cert", OTHER);
      await scene.startTerminator();
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(null);
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate: late })).status).to.equal(200);
    });

    it("reaches a request that a replaced worker still serves", async () => {
      const certificate = await certified();
      const socket = await roam(certificate);
      await begin(socket, STREAM);
      await scene.target.resync(scene.desired, new AbortController().signal);
      expect(await scene.replacedWorkers()).to.not.deep.equal([]);
      const [ended, port] = [closed(socket), socket.localPort];
      await scene.revoke(certificate);
      await ended;
      expect(scene.cut.map((flow) => flow.port)).to.deep.equal([port]);
    });

    it("that comes with a whole new state reaches replaced workers too", async () => {
      const certificate = await certified();
      const socket = await roam(certificate);
      await begin(socket, STREAM);
      const [ended, port] = [closed(socket), socket.localPort];
      const standing = await roam(certificate);
      expect((await ask(standing, GET)).status).to.equal(200);
      const standingPort = standing.localPort;
      scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
      await scene.target.resync(scene.desired, new AbortController().signal);
      await ended;
      expect(scene.cut.map((flow) => flow.port)).to.have.members([port, standingPort]);
      expect((await ask(standing, GET)).status).to.equal(null);
      standing.destroy();
    });

    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      it(`cannot be got around by resuming a session of ${version}: none is`, async () => {
        const certificate = await certified();
        const first = await open(scene.ports.roaming, { ca: pki.root, certificate, maxVersion: version });
        let session = first.getSession();
        first.on("session", (later: Buffer) => {
          session = Buffer.from(later);
        });
        expect((await ask(first, GET)).status).to.equal(200);
        first.destroy();
        const second = await open(scene.ports.roaming, { ca: pki.root, certificate, maxVersion: version, session });
        expect(second.getProtocol()).to.equal(version);
        expect(second.isSessionReused()).to.equal(false);
        second.destroy();
      });
    }
  });
}
