import { hash } from "node:crypto";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { Flow } from "../../../agent/target.ts";
import { currentGeneration } from "../../../agent/terminator/generation.ts";
import { servingNginx } from "../../../agent/terminator/nginx-master.ts";
import { waitFor } from "../../lab/wait.ts";
import { get } from "./client.ts";
import { nextAgent } from "./next-agent.ts";
import { type ClientCertificate, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const FLOW: Flow = { family: 4, address: "192.0.2.7", port: 50_000 };
const { signal } = new AbortController();

describe("a revocation that comes while nginx does not take its files", () => {
  let pki: Pki;
  let scene: TerminatorScene;
  let certificate: ClientCertificate;
  before(async () => {
    pki = await makeTestPki();
  });
  beforeEach(async () => {
    scene = await makeTerminatorScene({ kind: "nginx", pki, target: { connections: async () => [{ ...FLOW, to: "" }] } });
    certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
  });
  afterEach(async () => {
    await scene[Symbol.asyncDispose]();
  });
  const remove = () => scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
  const resynced = () =>
    scene.target.resync(scene.desired, signal).then(
      () => "done",
      (error: Error) => error.message,
    );
  const status = async () => (await get(scene.ports.roaming, { ca: pki.root, certificate })).status;

  it("is made up for by the next agent where this one waits for the reload of a CA", async () => {
    const { stateDir } = scene.config;
    const nginx = servingNginx(stateDir)[0]?.pid ?? 0;
    const generation = currentGeneration(stateDir, "nginx")?.folder;
    const cut: Flow[] = [];
    process.kill(nginx, "SIGSTOP");
    try {
      const { id, chain } = await pki.anotherDeviceCa();
      const [body = ""] = /^-----BEGIN[\s\S]*?END CERTIFICATE-----\n/.exec(chain) ?? [];
      scene.desired.change({ kind: "trust.set", target: "ca", id, body });
      const killing = new AbortController();
      const waiting = scene.target.apply(scene.desired, scene.desired.pending(), killing.signal).catch(() => {});
      await waitFor("the reload", () => currentGeneration(stateDir, "nginx")?.folder !== generation || undefined);
      remove();
      killing.abort(new Error("killed"));
      const ending = new AbortController();
      const next = nextAgent(scene, FLOW, cut, ending.signal);
      await waitFor("the next one's cut", () => cut.length > 0 || undefined);
      expect([scene.cut, cut]).to.deep.equal([[], [FLOW]]);
      ending.abort(new Error("seen"));
      await Promise.allSettled([waiting, next]);
    } finally {
      process.kill(nginx, "SIGCONT");
    }
  });

  it("is made up for by the next agent where nginx refused what this one wrote, which cuts nobody for the refusal", async () => {
    const file = scene.config.terminator.certificate;
    const text = readFileSync(file);
    rmSync(file);
    for (let n = 0; n < 2; n++) expect(await resynced()).to.match(/^nginx refuses its configuration: /);
    expect(scene.cut).to.deep.equal([]);
    remove();
    writeFileSync(file, text);
    const cut: Flow[] = [];
    await nextAgent(scene, FLOW, cut);
    expect(cut).to.deep.equal([FLOW]);
    await nextAgent(scene, FLOW, cut);
    expect(cut).to.deep.equal([FLOW]);
  });

  it("is no reason to write a file where nothing is open that it could end", async () => {
    await using quiet = await makeTerminatorScene({ kind: "nginx", pki, target: { connections: async () => [] } });
    const folder = join(quiet.config.stateDir, "terminator");
    const { mtimeNs } = statSync(folder, { bigint: true });
    await quiet.register(certificate, DEVICE, "cert");
    await quiet.revoke(certificate);
    expect(statSync(folder, { bigint: true }).mtimeNs).to.equal(mtimeNs);
  });

  it("is in force though the root's file is away, and cuts", async () => {
    rmSync(scene.config.registry.ca);
    remove();
    expect(await resynced()).to.match(/^ENOENT: /);
    expect([scene.cut, await status()]).to.deep.equal([[FLOW], null]);
  });

  it("is in force though a list is no list, and cuts", async () => {
    const der = Buffer.from("no list");
    const list = { number: 9, thisUpdate: 1, nextUpdate: Date.now() + 1e8, sha256: hash("sha256", der), bytes: der.length };
    const body = JSON.stringify({ ...list, der: der.toString("base64") });
    scene.desired.change({ kind: "trust.set", target: "crl", id: pki.deviceCaId, body });
    remove();
    expect(await resynced()).to.equal("a CRL is cut off, or no DER");
    expect([scene.cut, await status()]).to.deep.equal([[FLOW], null]);
  });

  it("closes what it ends on this host though the firewall does not cut it", async () => {
    const closed: Flow[] = [];
    const cut = async () => {
      throw new Error("nft does not answer");
    };
    const close = async (_ports: unknown, flows: readonly Flow[]) => void closed.push(...flows);
    await using away = await makeTerminatorScene({
      kind: "nginx",
      pki,
      target: { connections: async () => [{ ...FLOW, to: "" }], cut, close },
    });
    await away.register(certificate, DEVICE, "cert");
    expect(await away.revoke(certificate).catch((error: Error) => error.message)).to.equal("nft does not answer");
    expect(closed).to.deep.equal([FLOW]);
  });

  it("is none where a binding gets another end: nobody's connection is cut", async () => {
    const bind = async (expiresAt: number) => {
      const body = JSON.stringify({ expiresAt });
      scene.desired.change({ kind: "trust.set", target: "binding", id: `${DEVICE} 198.51.100.7/32`, body });
      await scene.apply();
    };
    for (const lifeMs of [1e8, 2e8, 1e8]) await bind(Date.now() + lifeMs);
    expect(scene.cut).to.deep.equal([]);
  });
});
