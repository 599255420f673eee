import { BIN } from "../lab/configs.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import type { WorkerAnswers, WorkerAsks } from "./nft-worker.ts";
import type { Measured, Wish } from "./stats.ts";

export type NftWorker = Peer<WorkerAsks, WorkerAnswers>;

/** A worker in a network namespace without a name, which goes with it. */
export const startNftWorker = (kind: "bare" | "gate"): Promise<NftWorker> =>
  startPeer(["unshare", "--net", BIN.run, "test/bench/nft-worker.ts", "--kind", kind]);

const WARMUP = 5;

/** One change through the agent's target into a gate of `elements`, beside nft alone and a bare set as large, in turns. */
export async function measureApply({ elements, samples, progress, signal }: Wish): Promise<Measured> {
  progress(`apply, ${elements} elements: seeding`);
  await using gate = await startNftWorker("gate");
  await using bare = await startNftWorker("bare");
  await gate.ask("seed", { elements });
  await bare.ask("seed", { elements });
  progress(`apply, ${elements} elements: measuring`);
  const measured: Measured = { what: `one change applied, ${elements.toLocaleString("en-US")} elements`, samples: [], floor: [] };
  for (let i = 0; i < samples + WARMUP; i++) {
    signal.throwIfAborted();
    const address = `198.18.${(i >> 8) & 255}.${i & 255}`;
    const { ms } = await gate.ask("apply", { address });
    const floor = await bare.ask("apply", { address });
    if (i < WARMUP) continue;
    measured.samples.push(ms);
    measured.floor.push(floor.ms);
  }
  return measured;
}
