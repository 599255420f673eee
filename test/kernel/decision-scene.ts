import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AgentConfig, parseAgentConfig, type TerminatorKind } from "../../agent/config.ts";
import { DesiredState } from "../../agent/desired.ts";
import { startFloor } from "../../agent/nft/floor.ts";
import { startNftTarget } from "../../agent/nft/target.ts";
import { closeConnections } from "../../agent/terminator/closing.ts";
import { HaproxyTarget } from "../../agent/terminator/haproxy.ts";
import { NginxTarget } from "../../agent/terminator/nginx.ts";
import type { Terminator, TerminatorOptions } from "../../agent/terminator/settings.ts";
import { readConnections } from "../../agent/terminator/sockets.ts";
import { silentLog } from "../../lib/log.ts";
import type { RuleLane } from "../../lib/service.ts";
import { startApplication } from "../agent/terminator/application.ts";
import { HOUR_MS, makeTestPki, type Pki } from "../agent/terminator/pki.ts";
import { terminatorProcess } from "../agent/terminator/processes.ts";
import { inNetns, run } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import { within } from "../lab/wait.ts";
import type { Switches } from "./decision.ts";
import type { Answers, Asks } from "./decision-actor.ts";
import { makeScene, type Scene } from "./netns.ts";

const ACTOR = fileURLToPath(new URL("decision-actor.ts", import.meta.url));
const MANY = 1_000_000;
/** Bound of each step towards the scene, on however busy a machine. */
const STEP_MS = 120_000;

/** A host with the agent's nftables and terminator targets, as the reconciler drives them, an application, and one namespace of devices. */
export interface DecisionScene extends Scene {
  readonly pki: Pki;
  readonly hands: Peer<Asks, Answers>;
  readonly desired: DesiredState;
  /** Brings pending differences into the kernel, then to the terminator. */
  apply(): Promise<void>;
  /** As `apply`, of differences that lead to a reload: no worker of before takes a connection afterwards. */
  applyWithReload(): Promise<void>;
  /** Switches lanes, as a reload of the agent does. */
  configure(lanes: Switches): Promise<void>;
  admit(lane: RuleLane, prefix: string): void;
}

export interface DecisionOptions {
  readonly kind: TerminatorKind;
  readonly addresses: readonly string[];
  readonly lanes: Switches;
  /** What the terminator is run through besides, nothing by default. */
  readonly through?: readonly string[];
}

/** @throws TimeoutError that names what did not come to stand */
export async function makeDecisionScene({ kind, addresses, lanes, through = [] }: DecisionOptions): Promise<DecisionScene> {
  await using stack = new AsyncDisposableStack();
  const bounded = <T>(what: string, work: Promise<T>): Promise<T> => within(() => `${kind}: ${what}`, STEP_MS, work);
  const scene = stack.use(await bounded("the namespaces", makeScene(1)));
  const [devices = scene.host] = scene.devices;
  const inside = scene.host.within;
  const lines = addresses.map((address) => `addr add ${address.includes(":") ? `${address}/32 dev eth0 nodad` : `${address}/24 dev eth0`}`);
  await run(["ip", "-n", devices.netns, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  const pki = await bounded("the CAs", makeTestPki(Date.now(), [scene.host.v4, scene.host.v6]));
  const folder = stack.adopt(mkdtempSync(join(tmpdir(), "eos-decision-")), (path) => rmSync(path, { recursive: true, force: true }));
  writeFileSync(join(folder, "root.pem"), pki.root);
  writeFileSync(join(folder, "service.crt"), pki.service.certificate);
  writeFileSync(join(folder, "service.key"), pki.service.key, { mode: 0o600 });
  const config = configOf(folder, kind, lanes);
  stack.use(await startApplication(config.terminator.application, []));
  const hands = stack.use(await bounded("the devices", startPeer<Asks, Answers>(inNetns(devices.netns, [process.execPath, ACTOR]))));
  const ending = new AbortController();
  const { signal } = ending;
  const common = { log: silentLog, signal, within: inside };
  stack.use(await bounded("the floor", startFloor({ ...common, config, onLost: () => {} })));
  const nft = stack.use(await bounded("the gate's nft", startNftTarget({ ...common, config, now: () => Date.now() })));
  const options = { log: silentLog, signal, config, now: Date.now, cut: nft.cut.bind(nft), fetchCrl };
  const terminator = stack.use(await startTerminator(options, inside));
  stack.defer(() => ending.abort(new Error("the scene ends")));
  const desired = await trusting(pki);
  const resync = async () => {
    await nft.resync(desired, signal);
    await terminator.resync(desired, signal);
    desired.acknowledgeAll();
  };
  await bounded("the first resync", resync());
  const processes = terminatorProcess(config, [...inside, ...through]);
  stack.defer(() => processes.kill());
  await processes.start();
  const reloading = async (work: () => Promise<void>) => {
    const before = await processes.workers();
    await work();
    await processes.replaced(before);
  };
  const apply = async () => {
    const pending = desired.pending();
    await nft.apply(desired, pending, signal);
    await terminator.apply(desired, pending, signal);
    desired.acknowledge(pending);
  };
  const held = stack.move();
  return {
    ...{ ...scene, pki, hands, desired, apply },
    applyWithReload: () => reloading(apply),
    async configure(next) {
      const own = configOf(folder, kind, next);
      nft.configure(own);
      terminator.configure(own);
      await reloading(resync);
    },
    admit: (lane, prefix) => void desired.change({ kind: "rule.set", lane, prefix, expiresAt: Date.now() + HOUR_MS }),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** The target runs here, the terminator in the host's namespace: that is where its connections are. */
async function startTerminator(options: TerminatorOptions, within: readonly string[]): Promise<Terminator> {
  if (options.config.terminator.kind === "haproxy") return new HaproxyTarget(options);
  const tables = () => run([...within, "cat", "/proc/self/net/tcp", "/proc/self/net/tcp6"]);
  const connections = async (ports: ReadonlySet<number>) => readConnections(await tables(), ports);
  const close: typeof closeConnections = (ports, flows, signal) => closeConnections(ports, flows, signal, within);
  return NginxTarget.start({ ...options, connections, close });
}

/** CAs and their lists, as the registry tells them first. */
async function trusting(pki: Pki): Promise<DesiredState> {
  const desired = new DesiredState();
  const trust = (target: "ca" | "crl", id: string, body: string) => desired.change({ kind: "trust.set", target, id, body });
  trust("ca", pki.rootId, pki.root);
  trust("ca", pki.deviceCaId, pki.deviceCa);
  trust("crl", pki.rootId, await pki.crl("root", 1));
  trust("crl", pki.deviceCaId, await pki.crl("device", 1));
  return desired;
}

async function fetchCrl(): Promise<string> {
  throw new Error("no CRL is too large here");
}

function configOf(folder: string, kind: TerminatorKind, lanes: Switches): AgentConfig {
  const [stateDir, runtimeDir] = [join(folder, "state"), join(folder, "run")];
  for (const path of [stateDir, runtimeDir]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const of = (name: string) => join(folder, name);
  const registry = { addresses: ["https://control.example"], ca: of("root.pem"), certificate: "unused", key: "unused" };
  const gate = { lanes, newConnections: { perSecond: 100_000, burst: 100_000 }, openConnections: { perSource: 5_000, roaming: 5_000 } };
  const sockets = { application: of("application.sock"), masterSocket: of("master.sock") };
  const limits = { requestsPer10s: MANY, maxConnections: 4_000 };
  const terminator = { kind, certificate: of("service.crt"), ...sockets, ...limits };
  return parseAgentConfig("agent.yaml", JSON.stringify({ name: "host", registry, stateDir, runtimeDir, gate, terminator }));
}
