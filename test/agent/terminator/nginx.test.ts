import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { expect } from "chai";
import type { Flow } from "../../../agent/target.ts";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { NginxTarget } from "../../../agent/terminator/nginx.ts";
import { servingNginx } from "../../../agent/terminator/nginx-master.ts";
import { silentLog } from "../../../lib/log.ts";
import { waitFor } from "../../lab/wait.ts";
import { ask, GET, get, open } from "./client.ts";
import { type ClientCertificate, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const OTHER = "0198f2c1-7d1e-7000-8000-0123456789ac";
const STREAM = "GET /stream HTTP/1.1\r\nHost: service.example\r\n\r\n";
const { signal } = new AbortController();

describe("nginx and its agent", () => {
  let pki: Pki;
  let scene: TerminatorScene;
  before(async () => {
    pki = await makeTestPki();
  });
  beforeEach(async () => {
    scene = await makeTerminatorScene({ kind: "nginx", pki });
  });
  afterEach(async () => {
    await scene[Symbol.asyncDispose]();
  });
  const certified = async (device = DEVICE): Promise<ClientCertificate> => {
    const certificate = await pki.issue(device);
    await scene.register(certificate, device, "cert");
    return certificate;
  };
  const again = (cut: Flow[]) =>
    NginxTarget.start({
      config: scene.config,
      log: silentLog,
      signal,
      now: Date.now,
      cut: async (flows) => void cut.push(...flows),
      fetchCrl: () => Promise.reject(new Error("no CRL is too large here")),
    });

  it("cut with the first revocation what was open before the agent began, since nobody knows whose it is", async () => {
    const certificate = await certified();
    await certified(OTHER);
    const socket = await open(scene.ports.roaming, { ca: pki.root, certificate });
    socket.write(STREAM);
    await once(socket, "data");
    const { localPort } = socket;
    await scene.target[Symbol.asyncDispose]();
    const cut: Flow[] = [];
    await using target = await again(cut);
    await target.resync(scene.desired, signal);
    // A restart alone ends nothing.
    expect(cut).to.deep.equal([]);
    scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
    const pending = scene.desired.pending();
    await target.apply(scene.desired, pending, signal);
    expect(cut).to.deep.equal([{ family: 4, address: "127.0.0.1", port: localPort }]);
    socket.destroy();
  });

  it("serve with the last good configuration when nginx refuses a new one, and say so", async () => {
    const certificate = await certified();
    const before = readlinkSync(currentLink(scene.config.stateDir));
    const { terminator } = scene.config;
    scene.target.configure({ ...scene.config, terminator: { ...terminator, certificate: "/nonexistent/service.crt" } });
    const failure = await scene.target.resync(scene.desired, signal).then(
      () => null,
      (error: Error) => error.message,
    );
    expect(failure).to.match(/^nginx refuses its configuration: .*cannot load certificate "\/nonexistent\/service\.crt"/);
    expect(readlinkSync(currentLink(scene.config.stateDir))).to.equal(before);
    expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(200);
    scene.target.configure(scene.config);
    await scene.target.resync(scene.desired, signal);
    expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(200);
  });

  it("leave nothing of a configuration that nginx refused, or that could not be written whole", async () => {
    const generations = () =>
      readdirSync(join(scene.config.stateDir, "terminator"))
        .filter((name) => name !== "current")
        .sort();
    const { terminator } = scene.config;
    scene.target.configure({ ...scene.config, terminator: { ...terminator, certificate: "/nonexistent/service.crt" } });
    const failures: string[] = [];
    const failed = () => scene.target.resync(scene.desired, signal).catch(({ message }: Error) => void failures.push(message.slice(0, 25)));
    for (let n = 0; n < 3; n++) await failed();
    expect(generations()).to.deep.equal(["ends-due", "generation-1"]);
    // With this one the service's certificate is written anew, which is not there: the generation's folder is.
    scene.desired.change({ kind: "trust.set", target: "ca", id: "cross-1", body: pki.root });
    await failed();
    expect(generations()).to.deep.equal(["ends-due", "generation-1"]);
    const refused = "nginx refuses its configu";
    expect(failures).to.deep.equal([refused, refused, refused, "ENOENT: no such file or d"]);
    expect((await get(scene.ports.ip, { ca: pki.root })).status).to.equal(200);
  });

  it("say so when nginx gives a configuration up that it called good, and go on with the one before", async () => {
    const { stateDir, gate } = scene.config;
    const [current, workers] = [readlinkSync(currentLink(stateDir)), await scene.workers()];
    const taken = createServer().listen(0, "0.0.0.0");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    scene.target.configure({ ...scene.config, gate: { ...gate, probe: { ...gate.probe, port }, lanes: { ...gate.lanes, ip: false } } });
    const failed = () => scene.target.resync(scene.desired, signal).catch(({ message }: Error) => message);
    const said = `nginx did not take its new configuration: bind() to 0.0.0.0:${port} failed (98: Address already in use), still could not bind()`;
    for (let n = 0; n < 2; n++) expect(await failed()).to.equal(said);
    expect(readlinkSync(currentLink(stateDir))).to.equal(current);
    expect(await scene.workers()).to.include.members(workers);
    expect(servingNginx(stateDir).map(({ layout }) => basename(layout.folder))).to.deep.equal([current]);
    expect(readdirSync(join(stateDir, "terminator")).sort()).to.deep.equal(["current", "ends-due", current]);
    // What nginx says of itself is of a few lines, and nothing that a client can cause.
    const log = readFileSync(join(stateDir, "terminator", current, "nginx.log"), "utf8");
    expect(log)
      .to.match(/: start worker process \d+\n/)
      .and.not.include("client");
    taken.close();
    await once(taken, "close");
    await scene.target.resync(scene.desired, signal);
    // Workers of before are told to end some 100 ms later.
    await waitFor("the lane to be off", async () => (await get(scene.ports.ip, { ca: pki.root })).status === null || undefined);
    await waitFor("its workers to end", async () => !(await scene.workers()).some((pid) => workers.includes(pid)) || undefined);
    await scene.killTerminator();
    await scene.startTerminator();
  });

  it("know which generation nginx serves, and keep it", async () => {
    for (let n = 0; n < 4; n++) await scene.target.resync(scene.desired, signal);
    const serving = servingNginx(scene.config.stateDir).map(({ layout }) => layout.folder);
    expect(serving).to.deep.equal([join(scene.config.stateDir, "terminator", readlinkSync(currentLink(scene.config.stateDir)))]);
    await scene.killTerminator();
    expect(servingNginx(scene.config.stateDir)).to.deep.equal([]);
    // What a killed nginx left does not hinder the next one.
    expect(existsSync(join(serving[0] ?? "", "nginx.pid"))).to.equal(true);
    await scene.target.resync(scene.desired, signal);
    await scene.startTerminator();
    expect((await get(scene.ports.ip, { ca: pki.root })).status).to.equal(200);
  });

  it("refuse what would speak as the gate under names that the gate does not use, and heads of too many lines", async () => {
    const statuses = [];
    const many = Array.from({ length: 100 }, (_, n) => `a${n}: b`).join("\n");
    for (const lines of ["X-EntityOS-Anything: x", "X-Forwarded-Client-Cert: x", "X-Forwarded-Host: x", many]) {
      const answer = await get(scene.ports.ip, { ca: pki.root }, GET.replace("\n\n", `\n${lines}\n\n`));
      statuses.push(answer.status);
    }
    expect(statuses).to.deep.equal([403, 403, 200, 403]);
  });

  it("pass on no header by which the client would speak to the agent", async () => {
    const names = ["Source", "Port", "Verify", "Certificate"].map((name) => `X-EntityOS-${name}: forged`).join("\n");
    expect((await get(scene.ports.ip, { ca: pki.root }, GET.replace("\n\n", `\n${names}\n\n`))).status).to.equal(200);
    expect((scene.seen.at(-1) ?? []).filter((name) => /entityos/i.test(name))).to.deep.equal(["X-EntityOS-Lane"]);
  });

  it("answer a load balancer while nginx runs and the agent says that it is well", async () => {
    const agent = { code: 200 };
    const server = createServer((_request, response) => void response.writeHead(agent.code).end());
    const probe = () =>
      new Promise<number | undefined>((resolve, reject) => {
        request({ port: scene.config.gate.probe.port, path: "/" }, (response) => resolve(response.resume().statusCode))
          .on("error", reject)
          .end();
      });
    expect(await probe()).to.equal(503);
    server.listen(join(scene.config.runtimeDir, "agent.sock"));
    await once(server, "listening");
    expect(await probe()).to.equal(200);
    agent.code = 503;
    expect(await probe()).to.equal(503);
    server.close();
  });

  it("let nobody in by a certificate that no CA of theirs signed", async () => {
    const other = await makeTestPki();
    const foreign = await other.issue(DEVICE);
    await scene.register(foreign, DEVICE, "cert");
    for (const id of [pki.rootId, pki.deviceCaId]) scene.desired.change({ kind: "trust.remove", target: "crl", id });
    await scene.apply();
    await scene.target.resync(scene.desired, signal);
    expect((await get(scene.ports.roaming, { ca: pki.root, certificate: foreign })).status).to.equal(null);
    expect((await get(scene.ports.roaming, { ca: pki.root, certificate: await certified() })).status).to.equal(200);
  });

  it("follow one connection through many requests", async () => {
    const certificate = await certified();
    const socket = await open(scene.ports.roaming, { ca: pki.root, certificate });
    for (let n = 0; n < 3; n++) expect((await ask(socket, GET)).status).to.equal(200);
    const { localPort } = socket;
    await scene.revoke(certificate);
    expect(scene.cut).to.deep.equal([{ family: 4, address: "127.0.0.1", port: localPort }]);
    socket.destroy();
  });
});
