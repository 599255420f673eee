import { once } from "node:events";
import type { TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { expect } from "chai";
import type { Flow } from "../../../agent/target.ts";
import { currentGeneration } from "../../../agent/terminator/generation.ts";
import { NginxTarget } from "../../../agent/terminator/nginx.ts";
import { servingNginx } from "../../../agent/terminator/nginx-master.ts";
import { connectionsAt } from "../../../agent/terminator/sockets.ts";
import { silentLog } from "../../../lib/log.ts";
import { freePort } from "../../lab/ports.ts";
import { waitFor } from "../../lab/wait.ts";
import { ask, GET, get } from "./client.ts";
import { download } from "./download.ts";
import { nextAgent } from "./next-agent.ts";
import { HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const [DEVICE, OTHER] = ["0198f2c1-7d1e-7000-8000-0123456789ab", "0198f2c1-7d1e-7000-8000-0123456789ac"];
const TEND_MS = 20;

describe("open connections behind nginx", () => {
  let pki: Pki;
  let scene: TerminatorScene;
  /** How often the agent looked at the kernel's connections. */
  let looks = 0;
  /** As where neither ss nor conntrack is there: nginx keeps what is cut. */
  const close = async () => {
    throw new Error("spawn ss ENOENT");
  };
  before(async () => {
    pki = await makeTestPki();
  });
  beforeEach(async () => {
    const connections = (ports: ReadonlySet<number>) => {
      looks++;
      return connectionsAt(ports);
    };
    scene = await makeTerminatorScene({ kind: "nginx", pki, target: { tendMs: TEND_MS, connections, close } });
  });
  afterEach(async () => {
    await scene[Symbol.asyncDispose]();
  });
  const device = async (id: string) => {
    const certificate = await pki.issue(id);
    await scene.register(certificate, id, "cert");
    return certificate;
  };
  const flowOf = ({ localPort }: TLSSocket) => ({ family: 4, address: "127.0.0.1", port: localPort ?? 0 }) as const;
  /** Resolves when the kernel has no more than these, and the agent has seen that. */
  const left = async (count: number) => {
    await waitFor(
      "connections to end",
      async () => (await connectionsAt(new Set(Object.values(scene.ports)))).length === count || undefined,
    );
    const before = looks;
    await waitFor("two more looks", () => looks >= before + 2 || undefined);
  };

  it("are cut again for as long as nginx has them, and no longer", async () => {
    const [first, second] = [await device(DEVICE), await device(OTHER)];
    const sockets = [(await download(scene.ports.roaming, pki, first)).socket, (await download(scene.ports.roaming, pki, second)).socket];
    const [mine, others] = sockets.map(flowOf);
    await scene.revoke(first);
    const cutsOf = (port: number | undefined, from = 0) => scene.cut.slice(from).filter((flow) => flow.port === port).length;
    await waitFor("the first to be cut anew", () => cutsOf(mine?.port) >= 3 || undefined);
    expect(cutsOf(others?.port)).to.equal(0);
    sockets[0]?.destroy();
    await left(1);
    await scene.revoke(second);
    const from = scene.cut.findIndex((flow) => flow.port === others?.port);
    await waitFor("the second to be cut anew", () => cutsOf(others?.port) >= 3 || undefined);
    // One round may have begun before.
    const again = scene.cut.findIndex((flow, at) => at > from && flow.port === others?.port);
    expect(cutsOf(mine?.port, again)).to.equal(0);
    sockets[1]?.destroy();
  });

  it("are let go when they have ended: no revocation cuts them, nor whoever has the port afterwards", async () => {
    const certificate = await device(DEVICE);
    const socket = (await download(scene.ports.roaming, pki, certificate)).socket;
    socket.destroy();
    await left(0);
    await scene.revoke(certificate);
    expect(scene.cut).to.deep.equal([]);
  });

  it("are still known at a port that nginx no longer listens at, where a replaced worker serves them", async () => {
    const certificate = await device(DEVICE);
    const socket = (await download(scene.ports.roaming, pki, certificate)).socket;
    const { gate } = scene.config;
    const listeners = { ...gate.listeners, roaming: await freePort() };
    scene.target.configure({ ...scene.config, gate: { ...gate, listeners } });
    await scene.target.resync(scene.desired, new AbortController().signal);
    expect((await get(listeners.roaming, { ca: pki.root, certificate })).status).to.equal(200);
    const before = looks;
    await waitFor("two more looks", () => looks >= before + 2 || undefined);
    await scene.revoke(certificate);
    expect(scene.cut).to.deep.include(flowOf(socket));
    socket.destroy();
  });
});

describe("a connection behind nginx from before the agent", () => {
  it("is cut once anything that was registered has run out since, and for what had run out before not", async () => {
    const flow: Flow = { family: 4, address: "192.0.2.7", port: 50_000 };
    let [ahead, looks] = [0, 0];
    const connections = async () => {
      looks++;
      return [{ ...flow, to: "" }];
    };
    const more = { connections, close: async () => {}, now: () => Date.now() + ahead, tendMs: TEND_MS };
    await using scene = await makeTerminatorScene({ kind: "nginx", target: more });
    const lasting = await scene.pki.issue(DEVICE);
    await scene.register(await scene.pki.issue(OTHER, { now: Date.now() - 3 * HOUR_MS }), OTHER, "cert");
    await scene.register(lasting, DEVICE, "cert");
    const looked = async () => {
      const before = looks;
      await waitFor("two more looks", () => looks >= before + 2 || undefined);
    };
    await looked();
    // As the state is written anew in between.
    await scene.target.resync(scene.desired, new AbortController().signal);
    await looked();
    expect(scene.cut).to.deep.equal([]);
    ahead = 2 * HOUR_MS;
    await waitFor("the cut", () => scene.cut.length > 0 || undefined);
    expect(scene.cut[0]).to.deep.equal(flow);
  });
});

describe("a connection behind nginx from before the agent, and another one from its port", () => {
  it("is cut by a revocation all the same: that one was admitted by its address", async () => {
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ kind: "nginx", pki });
    const certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
    const running = await download(scene.ports.roaming, pki, certificate);
    await scene.target[Symbol.asyncDispose]();
    const { signal } = new AbortController();
    const cut: Flow[] = [];
    const more = {
      log: silentLog,
      signal,
      now: Date.now,
      fetchCrl: async () => "",
      cut: async (flows: readonly Flow[]) => void cut.push(...flows),
    };
    await using next = await NginxTarget.start({ config: scene.config, ...more });
    await next.resync(scene.desired, signal);
    const from = { localAddress: "127.0.0.1", localPort: running.localPort };
    const asking: ConnectionOptions & Partial<TcpNetConnectOpts> = { host: "127.0.0.1", port: scene.ports.ip, ca: pki.root, ...from };
    const second = connectTls(asking);
    await once(
      second.on("error", () => {}),
      "secureConnect",
    );
    expect((await ask(second, GET)).status).to.equal(200);
    expect(cut).to.deep.equal([]);
    scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
    await next.apply(scene.desired, scene.desired.pending(), signal);
    expect(cut).to.deep.equal([{ family: 4, address: "127.0.0.1", port: running.localPort }]);
    for (const socket of [running.socket, second]) socket.destroy();
  });
});

describe("an end behind nginx that the firewall could not be told", () => {
  it("is made up for by the next resync, for connections from before the agent too", async () => {
    const [flow, cut]: [Flow, Flow[]] = [{ family: 4, address: "192.0.2.7", port: 50_000 }, []];
    let fails = false;
    const target = {
      connections: async () => [{ ...flow, to: "" }],
      cut: async (flows: readonly Flow[]) => {
        if (fails) throw new Error("nft does not answer");
        cut.push(...flows);
      },
    };
    await using scene = await makeTerminatorScene({ kind: "nginx", target });
    const certificate = await scene.pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
    fails = true;
    const refused = await scene.revoke(certificate).catch((error: Error) => error.message);
    expect(refused).to.equal("nft does not answer");
    fails = false;
    const { signal } = new AbortController();
    await scene.target.resync(scene.desired, signal);
    expect(cut).to.deep.equal([flow]);
    await scene.target.resync(scene.desired, signal);
    expect(cut).to.deep.equal([flow]);
  });

  it("is made up for by the next agent, which finds the end in its state, and by that one alone", async () => {
    const [flow, cut]: [Flow, Flow[]] = [{ family: 4, address: "192.0.2.7", port: 50_000 }, []];
    const dead = async () => {
      throw new Error("nft does not answer");
    };
    await using scene = await makeTerminatorScene({ kind: "nginx", target: { connections: async () => [{ ...flow, to: "" }], cut: dead } });
    const certificate = await scene.pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
    const refused = await scene.revoke(certificate).catch((error: Error) => error.message);
    expect(refused).to.equal("nft does not answer");
    await scene.target[Symbol.asyncDispose]();
    const next = () => nextAgent(scene, flow, cut);
    await next();
    expect(cut).to.deep.equal([flow]);
    await next();
    expect(cut).to.deep.equal([flow]);
  });

  it("is made up for by the next agent where this one only waited for its turn behind a reload", async () => {
    const [flow, cut]: [Flow, Flow[]] = [{ family: 4, address: "192.0.2.7", port: 50_000 }, []];
    await using scene = await makeTerminatorScene({ kind: "nginx", target: { connections: async () => [{ ...flow, to: "" }] } });
    const certificate = await scene.pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
    const { stateDir } = scene.config;
    const nginx = servingNginx(stateDir)[0]?.pid ?? 0;
    const before = currentGeneration(stateDir, "nginx")?.folder;
    process.kill(nginx, "SIGSTOP");
    try {
      scene.desired.change({ kind: "trust.set", target: "crl", id: scene.pki.deviceCaId, body: await scene.pki.crl("device", 2) });
      await scene.apply();
      await waitFor("a reload for the list", () => currentGeneration(stateDir, "nginx")?.folder !== before || undefined);
      scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
      const ending = new AbortController();
      // Killed here, it does no more; to nobody but this test it goes on, until the scene ends.
      scene.target.resync(scene.desired, ending.signal).catch(() => {});
      const next = nextAgent(scene, flow, cut, ending.signal);
      await waitFor("the next one's cut", () => cut.length > 0 || undefined);
      expect([scene.cut, cut]).to.deep.equal([[], [flow]]);
      ending.abort(new Error("seen"));
      await next.catch(() => {});
    } finally {
      process.kill(nginx, "SIGCONT");
    }
  });
});

describe("a source that asks too often behind nginx", () => {
  const MANY = 60;

  it("is told so in lane ip, gets silence where a certificate is needed, and its requests do not reach the application", async () => {
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ kind: "nginx", pki, terminator: { requestsPer10s: 5 } });
    const certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "cert");
    const statusesOf = async (port: number) =>
      (await Promise.all(Array.from({ length: MANY }, () => get(port, { ca: pki.root, certificate })))).map(({ status }) => status);
    const told = await statusesOf(scene.ports.ip);
    expect(new Set(told)).to.deep.equal(new Set([200, 429]));
    const served = scene.seen.length;
    expect(told.filter((status) => status === 200).length).to.equal(served);
    const silent = await statusesOf(scene.ports.roaming);
    expect(silent).to.include(null).and.not.include(429);
    expect(silent.filter((status) => status === 200).length).to.equal(scene.seen.length - served);
  });
});
