import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAgentConfig } from "../../agent/config.ts";
import { DesiredState } from "../../agent/desired.ts";
import { startFloor } from "../../agent/nft/floor.ts";
import { startNftTarget } from "../../agent/nft/target.ts";
import { HaproxyTarget } from "../../agent/terminator/haproxy.ts";
import { silentLog } from "../../lib/log.ts";
import type { RuleLane } from "../../lib/service.ts";
import { startApplication } from "../agent/terminator/application.ts";
import { HOUR_MS, makeTestPki, type Pki } from "../agent/terminator/pki.ts";
import { Haproxy } from "../agent/terminator/processes.ts";
import { inNetns, run } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import type { Switches } from "./decision.ts";
import type { Answers, Asks } from "./decision-actor.ts";
import { makeScene, type Scene } from "./netns.ts";

const ACTOR = fileURLToPath(new URL("decision-actor.ts", import.meta.url));
const MANY = 1_000_000;

/** A host with the agent's nftables and HAProxy targets, as the reconciler drives them, an application, and one more namespace of devices. */
export interface DecisionScene extends Scene {
  readonly pki: Pki;
  readonly hands: Peer<Asks, Answers>;
  readonly desired: DesiredState;
  /** Brings pending differences into the kernel, then to HAProxy. */
  apply(): Promise<void>;
  /** Switches lanes, as a reload of the agent does. */
  configure(lanes: Switches): Promise<void>;
  admit(lane: RuleLane, prefix: string): void;
}

export async function makeDecisionScene(addresses: readonly string[], lanes: Switches): Promise<DecisionScene> {
  await using stack = new AsyncDisposableStack();
  const scene = stack.use(await makeScene(1));
  const [devices = scene.host] = scene.devices;
  const { within } = scene.host;
  const lines = addresses.map((address) => `addr add ${address.includes(":") ? `${address}/32 dev eth0 nodad` : `${address}/24 dev eth0`}`);
  await run(["ip", "-n", devices.netns, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  const pki = await makeTestPki(Date.now(), [scene.host.v4, scene.host.v6]);
  const folder = stack.adopt(mkdtempSync(join(tmpdir(), "eos-decision-")), (path) => rmSync(path, { recursive: true, force: true }));
  writeFileSync(join(folder, "root.pem"), pki.root);
  writeFileSync(join(folder, "service.crt"), pki.service.certificate);
  writeFileSync(join(folder, "service.key"), pki.service.key, { mode: 0o600 });
  const config = configOf(folder, lanes);
  stack.use(await startApplication(config.terminator.application, []));
  const hands = stack.use(await startPeer<Asks, Answers>(inNetns(devices.netns, [process.execPath, ACTOR])));
  const ending = new AbortController();
  const { signal } = ending;
  const common = { log: silentLog, signal, within };
  stack.use(await startFloor({ ...common, config, onLost: () => {} }));
  const nft = stack.use(await startNftTarget({ ...common, config, now: () => Date.now() }));
  const fetchCrl = async (): Promise<string> => {
    throw new Error("no CRL is too large here");
  };
  const haproxy = stack.use(new HaproxyTarget({ ...common, config, cut: (flows, until) => nft.cut(flows, until), fetchCrl }));
  stack.defer(() => ending.abort(new Error("the scene ends")));
  const desired = new DesiredState();
  const trust = (target: "ca" | "crl", id: string, body: string) => desired.change({ kind: "trust.set", target, id, body });
  trust("ca", pki.rootId, pki.root);
  trust("ca", pki.deviceCaId, pki.deviceCa);
  trust("crl", pki.rootId, await pki.crl("root", 1));
  trust("crl", pki.deviceCaId, await pki.crl("device", 1));
  const resync = async () => {
    await nft.resync(desired, signal);
    await haproxy.resync(desired, signal);
    desired.acknowledgeAll();
  };
  await resync();
  const processes = new Haproxy(config, within);
  stack.defer(() => processes.kill());
  await processes.start();
  const held = stack.move();
  return {
    ...{ ...scene, pki, hands, desired },
    async apply() {
      const pending = desired.pending();
      await nft.apply(desired, pending, signal);
      await haproxy.apply(desired, pending, signal);
      desired.acknowledge(pending);
    },
    async configure(next) {
      const own = configOf(folder, next);
      nft.configure(own);
      haproxy.configure(own);
      await resync();
    },
    admit: (lane, prefix) => void desired.change({ kind: "rule.set", lane, prefix, expiresAt: Date.now() + HOUR_MS }),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function configOf(folder: string, lanes: Switches) {
  const [stateDir, runtimeDir] = [join(folder, "state"), join(folder, "run")];
  for (const path of [stateDir, runtimeDir]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const of = (name: string) => join(folder, name);
  const registry = { addresses: ["https://control.example"], ca: of("root.pem"), certificate: "unused", key: "unused" };
  const gate = { lanes, newConnections: { perSecond: 100_000, burst: 100_000 } };
  const sockets = { application: of("application.sock"), masterSocket: of("master.sock") };
  const limits = { requestsPer10s: MANY, maxConnections: 1_000 };
  const terminator = { kind: "haproxy", certificate: of("service.crt"), ...sockets, ...limits };
  return parseAgentConfig("agent.yaml", JSON.stringify({ name: "host", registry, stateDir, runtimeDir, gate, terminator }));
}
