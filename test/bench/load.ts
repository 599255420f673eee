import { BIN } from "../lab/configs.ts";
import { inNetns } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import type { Member } from "../lab/plan.ts";
import type { LoadAnswers, LoadAsks } from "./load-worker.ts";

export type Load = Peer<LoadAsks, LoadAnswers>;

/** A client of its own that registers without end, from a device's namespace. In the field it has a processor of its own: here it gives way. */
export const startLoad = (device: Member): Promise<Load> =>
  startPeer(inNetns(device.netns, ["nice", "-n", "10", BIN.run, "test/bench/load-worker.ts"]));
