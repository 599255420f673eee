import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { createServer } from "node:net";
import { expect } from "chai";
import { currentLink } from "../../../agent/terminator/layout.ts";
import type { Lane } from "../../../lib/service.ts";
import { get } from "./client.ts";
import { download } from "./download.ts";
import { nextHaproxyTarget } from "./next-agent.ts";
import { type ClientCertificate, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const { signal } = new AbortController();

describe("a configuration that HAProxy finds sound and cannot take, since a port of it is another program's", function () {
  this.timeout(60_000);
  let pki: Pki;
  let scene: TerminatorScene;
  let certificate: ClientCertificate;
  let cuts = true;
  const cut = async () => {
    if (!cuts) throw new Error("nft does not answer");
  };
  before(async () => {
    pki = await makeTestPki();
  });
  beforeEach(async () => {
    cuts = true;
    scene = await makeTerminatorScene({ pki, target: { cut } });
    certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
  });
  afterEach(async () => {
    await scene[Symbol.asyncDispose]();
  });
  const statusAt = async (lane: Lane) => (await get(scene.ports[lane], { ca: pki.root, certificate })).status;
  const configured = (listeners: Partial<Record<Lane, number>>, lanes: Partial<Record<Lane, boolean>>) => {
    const { gate } = scene.config;
    return {
      ...scene.config,
      gate: { ...gate, listeners: { ...gate.listeners, ...listeners }, lanes: { ...gate.lanes, ...lanes } },
    };
  };
  /** A resync with lane ip at a port that is taken. */
  const refused = async (lanes: Partial<Record<Lane, boolean>> = {}): Promise<string> => {
    const server = createServer().listen(0, "0.0.0.0");
    await once(server, "listening");
    try {
      scene.target.configure(configured({ ip: (server.address() as { port: number }).port }, lanes));
      return await scene.target.resync(scene.desired, signal).then(
        () => "taken",
        (error: Error) => error.constructor.name,
      );
    } finally {
      server.close();
    }
  };

  it("is not the one that HAProxy starts with", async () => {
    const before = readlinkSync(currentLink(scene.config.stateDir));
    expect(await refused()).to.equal("NotTakenError");
    expect(await statusAt("roaming")).to.equal(200);
    expect(readlinkSync(currentLink(scene.config.stateDir))).to.equal(before);
    await scene.killTerminator();
    await scene.startTerminator();
    expect(await statusAt("roaming")).to.equal(200);
  });

  it("and who is revoked meanwhile is not let in by one that starts", async () => {
    const other = await pki.issue(DEVICE);
    await scene.register(other, DEVICE, "cert");
    expect(await refused()).to.equal("NotTakenError");
    scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
    expect(await refused()).to.equal("NotTakenError");
    await scene.killTerminator();
    await scene.startTerminator();
    const otherStatus = (await get(scene.ports.roaming, { ca: pki.root, certificate: other })).status;
    expect([await statusAt("roaming"), otherStatus]).to.deep.equal([null, 200]);
  });

  it("and a certificate that has another pattern by then is not served by its old one", async () => {
    const { fingerprint, serial, notAfter } = certificate;
    const body = JSON.stringify({ device: DEVICE, pattern: "both", subject: "alice", serial, issuer: pki.deviceCaId, notAfter });
    scene.desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
    expect(await refused()).to.equal("NotTakenError");
    await scene.killTerminator();
    await scene.startTerminator();
    expect(await statusAt("roaming")).to.equal(null);
  });

  it("and HAProxy starts with the one that it has taken, whatever failed afterwards", async () => {
    await download(scene.ports.roaming, pki, certificate);
    const [first] = await scene.workers();
    scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
    cuts = false;
    expect(await scene.target.resync(scene.desired, signal).catch((error: Error) => error.message)).to.equal("nft does not answer");
    expect(await scene.workers()).to.not.deep.equal([first]);
    cuts = true;
    const taken = readlinkSync(currentLink(scene.config.stateDir));
    expect(await refused()).to.equal("NotTakenError");
    expect(readlinkSync(currentLink(scene.config.stateDir))).to.equal(taken);
    await scene.killTerminator();
    await scene.startTerminator();
    expect(await statusAt("roaming")).to.equal(null);
  });

  it("and without lane roaming: what that lane let in ends when the next agent's is taken", async () => {
    expect(await refused({ roaming: false })).to.equal("NotTakenError");
    const running = await download(scene.ports.ipcert, pki, certificate);
    await scene.target[Symbol.asyncDispose]();
    const ended: number[] = [];
    await using next = nextHaproxyTarget({ config: configured({}, { roaming: false }) }, ended);
    await next.resync(scene.desired, signal);
    expect([ended, await statusAt("ipcert")]).to.deep.equal([[running.localPort], null]);
    await running.ended;
  });
});
