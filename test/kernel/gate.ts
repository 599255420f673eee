import { parseAgentConfig } from "../../agent/config.ts";
import { DesiredState } from "../../agent/desired.ts";
import { type Floor, startFloor } from "../../agent/nft/floor.ts";
import { type NftTarget, startNftTarget } from "../../agent/nft/target.ts";
import { silentLog } from "../../lib/log.ts";
import { LANES, PORT, type RuleLane } from "../../lib/service.ts";
import { run } from "../lab/exec.ts";
import { makeScene, type Scene, type Station } from "./netns.ts";

const HOUR_MS = 3_600_000;

/** A host with floor, gate and one listener per lane, driven as the reconciler drives it. */
export interface GatedScene extends Scene {
  readonly target: NftTarget;
  readonly floor: Floor;
  readonly desired: DesiredState;
  /** Brings the pending differences into the kernel. */
  apply(): Promise<void>;
  admit(lane: RuleLane, prefix: string, lifeMs?: number): Promise<void>;
  revoke(lane: RuleLane, prefix: string): Promise<void>;
  resync(): Promise<void>;
  /** Runs nft inside the host, as any other program would. */
  nft(command: string): Promise<string>;
}

export const gateConfig = (gate: object = {}, zone: "restricted" | "open" = "restricted", terminator: object = {}) => {
  const registry = { addresses: ["https://c.test"], ca: "-", certificate: "-", key: "-" };
  return parseAgentConfig("test", JSON.stringify({ name: "host", zone, registry, gate, terminator }));
};

const BOTH_LANES = { lanes: { ip: true, ipcert: true } };

/** Both address lanes are on unless said. */
export async function makeGatedScene(devices: number, gate: object = BOTH_LANES): Promise<GatedScene> {
  await using stack = new AsyncDisposableStack();
  const scene = stack.use(await makeScene(devices));
  const { within } = scene.host;
  const abort = new AbortController();
  const { signal } = abort;
  const config = gateConfig(gate);
  const common = { config, log: silentLog, signal, within };
  const floor = stack.use(await startFloor({ ...common, onLost: () => {} }));
  const target = stack.use(await startNftTarget({ ...common, now: () => Date.now() }));
  const desired = new DesiredState();
  await target.resync(desired, signal);
  for (const lane of LANES) await scene.host.actor.ask("serve", { port: PORT.listener[lane], label: lane });
  const apply = async () => {
    const pending = desired.pending();
    await target.apply(desired, pending, signal);
    desired.acknowledge(pending);
  };
  const held = stack.move();
  return {
    ...scene,
    target,
    floor,
    desired,
    apply,
    async admit(lane, prefix, lifeMs = HOUR_MS) {
      desired.change({ kind: "rule.set", lane, prefix, expiresAt: Date.now() + lifeMs });
      await apply();
    },
    async revoke(lane, prefix) {
      desired.change({ kind: "rule.remove", lane, prefix });
      await apply();
    },
    async resync() {
      await target.resync(desired, signal);
      desired.acknowledgeAll();
    },
    nft: (command) => run([...within, "nft", command]),
    async [Symbol.asyncDispose]() {
      await held.disposeAsync();
    },
  };
}

export const connectTo = (device: Station, host: string, port: number = PORT.service, timeoutMs = 400) =>
  device.actor.ask("connect", { host, port, timeoutMs });
