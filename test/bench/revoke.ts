import type { TerminatorKind } from "../../agent/config.ts";
import { delay } from "../../lib/abort.ts";
import { BIN } from "../lab/configs.ts";
import { inNetns } from "../lab/exec.ts";
import { startLab } from "../lab/lab.ts";
import { startPeer } from "../lab/peer.ts";
import { LAB } from "../lab/plan.ts";
import { type Registered, Scene } from "../lab/scene.ts";
import { startNftWorker } from "./apply.ts";
import type { RevokeAnswers, RevokeAsks, Way } from "./revoke-worker.ts";
import type { Measured, Wish } from "./stats.ts";

const MANY = 1_000_000;
const WARMUP = 2;
/** What comes in after the agent's word would still be seen in this time. */
const AFTERWARDS_MS = 100;
const WHAT: Readonly<Record<Way, string>> = {
  address: "revoked → address refused",
  certificate: "revoked → certificate refused, new connection",
  request: "revoked → request refused, open connection",
  download: "revoked → download stopped",
};

/**
 * From the operator's request until one way in is shut, with one agent: the last time that the client got in. Floor: one element taken by
 * a kept-open nft, beside each.
 */
export const measureRevoke =
  (way: Way, terminator: TerminatorKind) =>
  async ({ lab: name, samples, progress, signal }: Wish): Promise<Measured> => {
    progress(`revoke, ${way}, ${terminator}: starting`);
    await using floor = await startNftWorker("bare");
    await floor.ask("seed", { elements: 1_000 });
    // Where roaming is on, any address may open a connection.
    const gate = { lanes: { ip: true, ipcert: true, roaming: way !== "address" }, newConnections: { perSecond: 100_000, burst: 100_000 } };
    const limits = { registrationsPerMinute: MANY, registrationsPerHour: MANY };
    await using lab = await startLab({ name, devices: 1, terminator, signal, agentConfig: { gate }, registryConfig: { limits } });
    await using scene = await Scene.open(lab);
    const command = inNetns(scene.device(0).netns, [BIN.run, "test/bench/revoke-worker.ts"]);
    await using client = await startPeer<RevokeAsks, RevokeAnswers>(command);
    const code = await scene.makeCode("bench", samples + WARMUP, way === "address" ? LAB.profile : LAB.certProfile);
    const what = terminator === "nginx" ? `${WHAT[way]}, nginx` : WHAT[way];
    const measured = { what, samples: [] as number[], floor: [] as number[] };
    for (let i = 0; i < samples + WARMUP; i++) {
      signal.throwIfAborted();
      const certified = way === "address" ? null : await scene.certify(0, code);
      const device = certified?.device ?? ((await scene.register(0, code)).body as Registered).device;
      await scene.applied(await scene.headRevision());
      await client.ask("start", { way, host: scene.host().address, ca: scene.ca, client: certified?.client ?? null });
      const sentAt = Date.now();
      const { revision } = await scene.revokeNow(device);
      await scene.applied(revision);
      await delay(AFTERWARDS_MS, signal);
      const { lastMs } = await client.ask("stop", {});
      const { ms } = await floor.ask("apply", { address: `198.18.0.${i & 255}` });
      if (i < WARMUP) continue;
      measured.samples.push(Math.max(0, lastMs - sentAt));
      measured.floor.push(ms);
    }
    return measured;
  };
