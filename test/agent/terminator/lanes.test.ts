import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { ask, GET, get, identityOf, open } from "./client.ts";
import { HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const OTHER = "0198f2c1-7d1e-7000-8000-0123456789ac";

for (const kind of TERMINATORS) {
  describe(`the terminator's lanes: ${kind}`, () => {
    let pki: Pki;
    let scene: TerminatorScene;
    before(async () => {
      pki = await makeTestPki();
      scene = await makeTerminatorScene({ kind, pki });
    });
    after(async () => {
      await scene[Symbol.asyncDispose]();
    });
    const bind = async (device: string, prefix: string, expiresAt = Date.now() + HOUR_MS) => {
      scene.desired.change({ kind: "trust.set", target: "binding", id: `${device} ${prefix}`, body: JSON.stringify({ expiresAt }) });
      await scene.apply();
    };
    const unbind = async (device: string, prefix: string) => {
      scene.desired.change({ kind: "trust.remove", target: "binding", id: `${device} ${prefix}` });
      await scene.apply();
    };
    const certified = async (pattern: string, device = DEVICE) => {
      const certificate = await pki.issue(device);
      await scene.register(certificate, device, pattern, "Älice | büro");
      return certificate;
    };

    it("ip asks for no certificate and says no device", async () => {
      const answer = await get(scene.ports.ip, { ca: pki.root });
      expect(answer.status).to.equal(200);
      expect(identityOf(answer)).to.deep.equal({ "x-entityos-lane": "ip" });
    });

    it("ip adds who it is when a certificate counts, over IPv6 as over IPv4", async () => {
      const certificate = await certified("either");
      for (const host of ["127.0.0.1", "::1"]) {
        const answer = await get(scene.ports.ip, { ca: pki.root, certificate, host });
        expect(identityOf(answer)).to.deep.equal({
          "x-entityos-lane": "ip",
          "x-entityos-device": DEVICE,
          "x-entityos-pattern": "either",
          "x-entityos-subject": "%C3%84lice%20%7C%20b%C3%BCro",
        });
      }
    });

    it("ip takes a certificate that does not count for none", async () => {
      const unknown = await pki.issue(DEVICE);
      const expired = await pki.issue(DEVICE, { now: Date.now() - 2 * HOUR_MS });
      await scene.register(expired, DEVICE, "either");
      const foreign = await (await makeTestPki()).issue(DEVICE);
      await scene.register(foreign, DEVICE, "either");
      for (const certificate of [unknown, expired, foreign]) {
        const answer = await get(scene.ports.ip, { ca: pki.root, certificate });
        expect(answer.status).to.equal(200);
        expect(identityOf(answer)).to.deep.equal({ "x-entityos-lane": "ip" });
      }
    });

    it("ip tells no device of a connection that could not be found again: one from before its certificate was registered", async () => {
      const certificate = await pki.issue(DEVICE);
      const socket = await open(scene.ports.ip, { ca: pki.root, certificate });
      expect(identityOf(await ask(socket, GET))).to.deep.equal({ "x-entityos-lane": "ip" });
      await scene.register(certificate, DEVICE, "either");
      // nginx asks the agent anew, which takes note of the connection.
      const later = identityOf(await ask(socket, GET))["x-entityos-device"];
      expect(later).to.equal(kind === "nginx" ? DEVICE : undefined);
      expect(identityOf(await get(scene.ports.ip, { ca: pki.root, certificate }))["x-entityos-device"]).to.equal(DEVICE);
      socket.destroy();
    });

    it("ip takes a certificate of the pattern both for none, but from a prefix of its own", async () => {
      const certificate = await certified("both");
      const deviceAt = async (host: string) =>
        identityOf(await get(scene.ports.ip, { ca: pki.root, certificate, host }))["x-entityos-device"] ?? "none";
      expect(await deviceAt("127.0.0.1")).to.equal("none");
      await bind(OTHER, "127.0.0.1/32");
      expect(await deviceAt("127.0.0.1")).to.equal("none");
      await bind(DEVICE, "127.0.0.1/32");
      expect([await deviceAt("127.0.0.1"), await deviceAt("::1")]).to.deep.equal([DEVICE, "none"]);
      await unbind(DEVICE, "127.0.0.1/32");
      await unbind(OTHER, "127.0.0.1/32");
      expect(await deviceAt("127.0.0.1")).to.equal("none");
    });

    it("ipcert and roaming give no HTTP byte to anyone without a certificate that counts", async () => {
      const unknown = await pki.issue(DEVICE);
      const expired = await pki.issue(DEVICE, { now: Date.now() - 2 * HOUR_MS });
      await scene.register(expired, DEVICE, "cert");
      const early = await pki.issue(DEVICE, { now: Date.now() + HOUR_MS });
      await scene.register(early, DEVICE, "cert");
      const foreign = await (await makeTestPki()).issue(DEVICE);
      await scene.register(foreign, DEVICE, "cert");
      const before = scene.seen.length;
      for (const port of [scene.ports.ipcert, scene.ports.roaming]) {
        for (const certificate of [undefined, unknown, expired, early, foreign]) {
          expect(await get(port, { ca: pki.root, certificate })).to.deep.equal({ status: null, body: "" });
        }
      }
      expect(scene.seen.length).to.equal(before);
    });

    it("roaming admits cert and either, not both and ip", async () => {
      const statuses = [];
      for (const pattern of ["cert", "either", "both", "ip"]) {
        statuses.push([pattern, (await get(scene.ports.roaming, { ca: pki.root, certificate: await certified(pattern) })).status]);
      }
      expect(statuses).to.deep.equal([
        ["cert", 200],
        ["either", 200],
        ["both", null],
        ["ip", null],
      ]);
    });

    it("follow a certificate whose pattern becomes another one", async () => {
      const certificate = await certified("cert");
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(200);
      await scene.register(certificate, DEVICE, "both");
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(null);
      await scene.register(certificate, DEVICE, "either");
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(200);
    });

    it("ipcert admits both from a prefix of its own alone, and only until that ends", async () => {
      const certificate = await certified("both");
      const statusOf = async (host = "127.0.0.1") => (await get(scene.ports.ipcert, { ca: pki.root, certificate, host })).status;
      expect(await statusOf()).to.equal(null);
      await bind(OTHER, "127.0.0.1/32");
      expect(await statusOf()).to.equal(null);
      await bind(DEVICE, "127.0.0.2/32");
      expect(await statusOf()).to.equal(null);
      await bind(DEVICE, "127.0.0.1/32", Date.now() - 1_000);
      expect(await statusOf()).to.equal(null);
      await bind(DEVICE, "127.0.0.1/32");
      expect(await statusOf()).to.equal(200);
      expect(await statusOf("::1")).to.equal(null);
      await bind(DEVICE, "::1/128");
      expect(await statusOf("::1")).to.equal(200);
      await unbind(DEVICE, "127.0.0.1/32");
      expect(await statusOf()).to.equal(null);
      // A length that was not in use before.
      await bind(DEVICE, "127.0.0.0/29");
      expect(await statusOf()).to.equal(200);
      await unbind(DEVICE, "127.0.0.0/29");
      expect(await statusOf()).to.equal(null);
      expect(await statusOf("::1")).to.equal(200);
    });

    it("ipcert admits cert and either where roaming is on, and not where all must pass", async () => {
      const certificate = await certified("cert");
      expect((await get(scene.ports.ipcert, { ca: pki.root, certificate })).status).to.equal(200);
      await using strict = await makeTerminatorScene({ kind, pki, lanes: { roaming: false } });
      await strict.register(certificate, DEVICE, "cert");
      expect((await get(strict.ports.ipcert, { ca: pki.root, certificate })).status).to.equal(null);
    });

    it("tells a stranger no name of a CA", async () => {
      const { spawnSync } = await import("node:child_process");
      const words = ["s_client", "-connect", `127.0.0.1:${scene.ports.roaming}`, "-tls1_2"];
      const { stdout } = spawnSync("openssl", words, { input: "", timeout: 10_000 });
      expect(String(stdout)).to.include("No client certificate CA names sent");
    });
  });
}
