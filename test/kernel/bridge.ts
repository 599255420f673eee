import { fileURLToPath } from "node:url";
import { inNetns, run } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import type { Answers, Asks } from "./actor.ts";

const ACTOR = fileURLToPath(new URL("actor.ts", import.meta.url));

/** One end of the bridge: a network namespace with eth0. */
export interface BridgeEnd {
  readonly netns: string;
  readonly v4: string;
  readonly v6: string;
  /** Of eth0, inside. */
  readonly index: number;
  readonly mac: string;
}

export interface BridgeEndOptions {
  readonly netns: string;
  /** Number of its port at the bridge. */
  readonly port: number;
  readonly v4: string;
  readonly v6: string;
  /** How much of the address is the link's; every other end is a neighbour. */
  readonly v6Length: number;
}

/** Makes a namespace with the bridge br0 in it; the stack takes it away again. */
export async function makeBridge(netns: string, stack: AsyncDisposableStack): Promise<void> {
  await addNamespace(netns, stack);
  await ip(netns, ["link set lo up", "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up"]);
}

/** Makes a namespace whose eth0 is at the bridge; the stack takes it away again. No duplicate address detection: it would take a second. */
export async function addEnd(bridge: string, options: BridgeEndOptions, stack: AsyncDisposableStack): Promise<BridgeEnd> {
  const { netns, port, v4, v6, v6Length } = options;
  await addNamespace(netns, stack);
  await ip(bridge, [`link add p${port} type veth peer name eth0 netns ${netns}`, `link set p${port} master br0`, `link set p${port} up`]);
  await ip(netns, ["link set lo up", `addr add ${v4}/24 dev eth0`, `addr add ${v6}/${v6Length} dev eth0 nodad`, "link set eth0 up"]);
  const [link] = JSON.parse(await run(["ip", "-j", "-n", netns, "link", "show", "dev", "eth0"])) as { ifindex: number; address: string }[];
  return { netns, v4, v6, index: link?.ifindex ?? 0, mac: link?.address ?? "" };
}

/** Hands inside a namespace. */
export const startActor = (netns: string): Promise<Peer<Asks, Answers>> =>
  startPeer<Asks, Answers>(inNetns(netns, [process.execPath, ACTOR]));

async function addNamespace(netns: string, stack: AsyncDisposableStack): Promise<void> {
  await run(["ip", "netns", "add", netns]);
  stack.defer(async () => {
    await run(["ip", "netns", "delete", netns]);
  });
}

async function ip(netns: string, lines: readonly string[]): Promise<void> {
  await run(["ip", "-n", netns, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
