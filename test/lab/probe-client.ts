import { BIN } from "./configs.ts";
import { inNetns } from "./exec.ts";
import { type Peer, startPeer } from "./peer.ts";
import type { Answers, Asks } from "./probe-messages.ts";

/** A probe inside a namespace, from the side of who asks it. */
export type Probe = Peer<Asks, Answers>;

export const startProbe = (netns: string): Promise<Probe> => startPeer(inNetns(netns, [BIN.run, "test/lab/probe.ts"]));
