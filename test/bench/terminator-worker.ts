import { randomBytes } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { TerminatorKind } from "../../agent/config.ts";
import { makeTerminatorScene, type TerminatorScene } from "../agent/terminator/scene.ts";
import { servePeer } from "../lab/peer.ts";
import { sharedBelow } from "./memory.ts";

/** A terminator and the agent's target for it, in a process of their own. */
export interface TerminatorAsks {
  start: { readonly kind: TerminatorKind };
  register: { readonly certificates: number };
  /** A new generation of its configuration, with all that is registered. */
  renew: Record<string, never>;
  stop: Record<string, never>;
}

export interface Renewed {
  readonly ms: number;
  /** Of the terminator's processes, what they share counted once: afterwards, and at most meanwhile. */
  readonly bytes: number;
  readonly peakBytes: number;
  /** Of this process, which does as the agent does. */
  readonly agentBytes: number;
}

export interface TerminatorAnswers {
  start: Renewed;
  /** Of this process, with the desired state alone. */
  register: { readonly stateBytes: number };
  renew: Renewed;
  stop: Record<string, never>;
}

const LOOK_MS = 50;
const LIFE_MS = 7 * 86_400_000;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
let scene: TerminatorScene | null = null;
let kind: TerminatorKind = "haproxy";

function standing(): TerminatorScene {
  if (scene === null) throw new Error("nothing was started");
  return scene;
}

async function renew(): Promise<Renewed> {
  const { target, desired, workers } = standing();
  let peakBytes = 0;
  const look = () => {
    const bytes = sharedBelow(process.pid, kind);
    peakBytes = Math.max(peakBytes, bytes);
    return bytes;
  };
  const timer = setInterval(look, LOOK_MS);
  const startedAt = performance.now();
  await target.resync(desired, new AbortController().signal);
  while ((await workers()).length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const ms = performance.now() - startedAt;
  // Workers that were replaced have nothing to wait for: what stays is what it costs.
  for (let settled = 0, before = look(); settled < 3; ) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const now = look();
    settled = now === before ? settled + 1 : 0;
    before = now;
  }
  clearInterval(timer);
  collect();
  return { ms, bytes: look(), peakBytes, agentBytes: process.memoryUsage.rss() };
}

servePeer({
  async start({ kind: wanted }: TerminatorAsks["start"]): Promise<Renewed> {
    kind = wanted;
    scene = await makeTerminatorScene({ kind });
    return await renew();
  },
  async register({ certificates }: TerminatorAsks["register"]): Promise<TerminatorAnswers["register"]> {
    const { desired, pki } = standing();
    const notAfter = Date.now() + LIFE_MS;
    for (let n = 0; n < certificates; n++) {
      const device = `0198f2c1-7d1e-7000-8000-${n.toString(16).padStart(12, "0")}`;
      const serial = randomBytes(16).toString("hex");
      const body = JSON.stringify({ device, pattern: "cert", subject: `desktop ${n}`, serial, issuer: pki.deviceCaId, notAfter });
      desired.change({ kind: "trust.set", target: "certificate", id: randomBytes(32).toString("hex"), body });
    }
    desired.acknowledgeAll();
    collect();
    return { stateBytes: process.memoryUsage.rss() };
  },
  renew,
  async stop(): Promise<TerminatorAnswers["stop"]> {
    await scene?.[Symbol.asyncDispose]();
    return {};
  },
});
