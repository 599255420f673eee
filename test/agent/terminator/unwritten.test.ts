import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { currentLink, terminatorFolder } from "../../../agent/terminator/layout.ts";
import { createMaster } from "../../../agent/terminator/master.ts";
import { ask, GET, get, open } from "./client.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const deviceOf = (at: number): string => `0198f2c1-7d1e-7000-8000-0000000000${String(at).padStart(2, "0")}`;
const { signal } = new AbortController();

/** Why it did not succeed. */
const refusal = (work: Promise<void>): Promise<string> =>
  work.then(
    () => "nothing",
    (error: Error) => error.constructor.name,
  );

describe("an HAProxy whose files cannot be written, or are refused", () => {
  let pki: Pki;
  let scene: TerminatorScene;
  before(async () => {
    pki = await makeTestPki();
  });
  beforeEach(async () => {
    scene = await makeTerminatorScene({ pki });
  });
  afterEach(async () => {
    await scene[Symbol.asyncDispose]();
  });
  const devices = async (count: number): Promise<ClientCertificate[]> => {
    const made: ClientCertificate[] = [];
    for (let at = 0; at < count; at++) {
      const certificate = await pki.issue(deviceOf(at));
      await scene.register(certificate, deviceOf(at), "cert");
      made.push(certificate);
    }
    return made;
  };
  const statusOf = async (certificate: ClientCertificate | undefined) =>
    (await get(scene.ports.roaming, { ca: pki.root, ...(certificate && { certificate }) })).status;
  /** A connection that was served, and goes on. */
  const connected = async (certificate: ClientCertificate | undefined) => {
    const socket = await open(scene.ports.roaming, { ca: pki.root, ...(certificate && { certificate }) });
    expect((await ask(socket, GET)).status).to.equal(200);
    return socket;
  };
  const remove = ({ fingerprint }: ClientCertificate) => {
    scene.desired.change({ kind: "trust.remove", target: "certificate", id: fingerprint });
    scene.desired.revision++;
  };
  const linesOf = async (map: string): Promise<number> => {
    const [worker] = await scene.workers();
    const answer = await createMaster(scene.config.terminator.masterSocket).command("show map", { signal, worker: worker ?? 0 });
    const file = new RegExp(`\\((\\S+/${map})\\)`).exec(answer)?.[1];
    const lines = await createMaster(scene.config.terminator.masterSocket).command(`show map ${file}`, { signal, worker: worker ?? 0 });
    return lines.trim().split("\n").length;
  };

  it("is told of a revocation all the same, and that it did not last is said", async () => {
    const [revoked, other] = await devices(2);
    const socket = await connected(revoked);
    const gone = join(currentLink(scene.config.stateDir), "gone.map");
    rmSync(gone);
    mkdirSync(gone);
    expect(await refusal(scene.revoke(revoked as ClientCertificate))).to.equal("Error");
    expect(scene.cut.map(({ port }) => port)).to.deep.equal([socket.localPort]);
    expect([await statusOf(revoked), await statusOf(other)]).to.deep.equal([null, 200]);
    // The next generation is written beside it.
    await scene.target.resync(scene.desired, signal);
    expect([await statusOf(revoked), await statusOf(other)]).to.deep.equal([null, 200]);
  });

  it("is told of what is revoked while a new configuration is refused, once, however often that is tried", async () => {
    const [first, second, other] = await devices(3);
    const sockets = [await connected(first), await connected(second), await connected(other)];
    const { certificate } = scene.config.terminator;
    renameSync(certificate, `${certificate}.away`);
    expect(await refusal(scene.target.resync(scene.desired, signal))).to.equal("TerminatorRefusedError");
    expect([scene.cut, await statusOf(first)]).to.deep.equal([[], 200]);
    for (const [at, revoked] of [first, second].entries()) {
      remove(revoked as ClientCertificate);
      expect(await refusal(scene.target.resync(scene.desired, signal))).to.equal("TerminatorRefusedError");
      expect(scene.cut.at(-1)?.port).to.equal(sockets[at]?.localPort);
      expect(await statusOf(revoked)).to.equal(null);
    }
    expect(await refusal(scene.target.resync(scene.desired, signal))).to.equal("TerminatorRefusedError");
    expect([await linesOf("gone.map"), await statusOf(other)]).to.deep.equal([2, 200]);
    renameSync(`${certificate}.away`, certificate);
    await scene.target.resync(scene.desired, signal);
    expect([await statusOf(first), await statusOf(second), await statusOf(other)]).to.deep.equal([null, null, 200]);
  });

  it("is told of a binding that ended while the new configuration was being read, at the next try", async () => {
    const certificate = await pki.issue(deviceOf(1));
    await scene.register(certificate, deviceOf(1), "both");
    const id = `${deviceOf(1)} 127.0.0.1/32`;
    const body = JSON.stringify({ expiresAt: Date.now() + HOUR_MS });
    scene.desired.change({ kind: "trust.set", target: "binding", id, body });
    await scene.apply();
    const asked = async () => (await get(scene.ports.ipcert, { ca: pki.root, certificate })).status;
    expect(await asked()).to.equal(200);
    const file = scene.config.terminator.certificate;
    renameSync(file, `${file}.away`);
    const first = refusal(scene.target.resync(scene.desired, signal));
    await new Promise((resolve) => setImmediate(resolve));
    // HAProxy reads it by now; the feed goes on.
    scene.desired.change({ kind: "trust.remove", target: "binding", id });
    scene.desired.revision++;
    expect([await first, await refusal(scene.target.resync(scene.desired, signal))]).to.deep.equal(Array(2).fill("TerminatorRefusedError"));
    expect(await asked()).to.equal(null);
  });

  it("and that starts by itself lets in nobody who was revoked while its new configuration was refused", async () => {
    const [revoked, other] = await devices(2);
    const unbound = await pki.issue(deviceOf(3));
    await scene.register(unbound, deviceOf(3), "both");
    const binding = { kind: "trust.set", target: "binding", id: `${deviceOf(3)} 127.0.0.1/32` } as const;
    scene.desired.change({ ...binding, body: JSON.stringify({ expiresAt: Date.now() + HOUR_MS }) });
    await scene.apply();
    const boundStatus = async () => (await get(scene.ports.ipcert, { ca: pki.root, certificate: unbound })).status;
    expect(await boundStatus()).to.equal(200);
    scene.desired.change({ ...binding, kind: "trust.remove" });
    const { certificate } = scene.config.terminator;
    scene.target.configure({ ...scene.config, terminator: { ...scene.config.terminator, certificate: `${certificate}.none` } });
    remove(revoked as ClientCertificate);
    for (let tries = 0; tries < 2; tries++)
      expect(await refusal(scene.target.resync(scene.desired, signal))).to.equal("TerminatorRefusedError");
    await scene.killTerminator();
    await scene.startTerminator();
    expect([await statusOf(revoked), await statusOf(other), await boundStatus()]).to.deep.equal([null, 200, null]);
    const lines = readFileSync(join(currentLink(scene.config.stateDir), "gone.map"), "utf8");
    expect(lines).to.equal(`${revoked?.fingerprint.toUpperCase()} 1\n`);
  });

  it("leaves no folder behind for each try, neither what is refused nor what cannot be written, and the last good one stays", async () => {
    const [certified] = await devices(1);
    const { certificate } = scene.config.terminator;
    const folder = terminatorFolder(scene.config.stateDir);
    const generations = () => readdirSync(folder).filter((name) => name.startsWith("generation-"));
    expect(generations()).to.deep.equal(["generation-1"]);
    renameSync(certificate, `${certificate}.away`);
    for (let tries = 0; tries < 3; tries++)
      expect(await refusal(scene.target.resync(scene.desired, signal))).to.equal("TerminatorRefusedError");
    expect(generations()).to.deep.equal(["generation-1"]);
    // With another root beside it the certificate is read to be written anew, behind the maps.
    scene.desired.change({ kind: "trust.set", target: "ca", id: "cross-1", body: pki.root });
    for (let tries = 0; tries < 3; tries++) expect(await refusal(scene.target.resync(scene.desired, signal))).to.equal("Error");
    expect(generations()).to.deep.equal(["generation-1"]);
    renameSync(`${certificate}.away`, certificate);
    await scene.target.resync(scene.desired, signal);
    expect(generations()).to.deep.equal(["generation-1", "generation-2"]);
    expect(await statusOf(certified)).to.equal(200);
  });

  it("loses the connections of many that are revoked at one time, and of nobody else", async () => {
    const many = await devices(12);
    const sockets = [];
    for (const certificate of many) sockets.push(await connected(certificate));
    for (const certificate of many.slice(0, 10)) remove(certificate);
    await scene.apply();
    const ports = sockets.slice(0, 10).map(({ localPort }) => localPort);
    expect(scene.cut.map(({ port }) => port).sort()).to.deep.equal(ports.sort());
    expect([await statusOf(many[0]), await statusOf(many[11])]).to.deep.equal([null, 200]);
  });
});
