import { fileURLToPath } from "node:url";
import { inNetns, run } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import type { Answers, Asks } from "./actor.ts";
import { sendPackets } from "./frames.ts";

const ACTOR = fileURLToPath(new URL("actor.ts", import.meta.url));
/** Bits of the test's own links: slow enough for a download to last, fast enough not to be waited for. */
const DEVICE_RATE = "40mbit";

/** A machine on the test's link. Every device is in an IPv6 /64 of its own; all are neighbours. */
export interface Station {
  readonly netns: string;
  readonly v4: string;
  readonly v6: string;
  /** Hands inside it. */
  readonly actor: Peer<Asks, Answers>;
  /** What a command of ours is run through to be inside. */
  readonly within: readonly string[];
  /** Sends crafted IP packets to the host as they are. */
  send(packets: readonly Buffer[]): Promise<void>;
}

/** A bridge, one host and devices, each in a network namespace of its own. */
export interface Scene extends AsyncDisposable {
  readonly host: Station;
  readonly devices: readonly Station[];
}

let made = 0;

/** Makes the namespaces, and takes away what it made when that fails. Dispose ends all actors and deletes the namespaces. */
export async function makeScene(devices: number): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const prefix = `eosk${process.pid}-${made++}`;
  const bridge = `${prefix}-br`;
  await addNamespace(bridge, stack);
  await ip(bridge, ["link set lo up", "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up"]);
  const host = await addStation(prefix, bridge, 0, stack);
  const others: Link[] = [];
  for (let number = 1; number <= devices; number++) others.push(await addStation(prefix, bridge, number, stack));
  const station = async (link: Link): Promise<Station> => {
    const actor = stack.use(await startPeer<Asks, Answers>(inNetns(link.netns, [process.execPath, ACTOR])));
    const send = (packets: readonly Buffer[]) => sendPackets(link.netns, { index: link.index, neighbour: host.mac }, packets);
    return { netns: link.netns, v4: link.v4, v6: link.v6, actor, within: inNetns(link.netns, []), send };
  };
  const scene = { host: await station(host), devices: await Promise.all(others.map(station)) };
  const held = stack.move();
  return { ...scene, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

interface Link {
  readonly netns: string;
  readonly v4: string;
  readonly v6: string;
  readonly index: number;
  readonly mac: string;
}

async function addStation(prefix: string, bridge: string, number: number, stack: AsyncDisposableStack): Promise<Link> {
  const netns = `${prefix}-${number === 0 ? "host" : `d${number}`}`;
  const v4 = `203.0.113.${10 + number}`;
  const v6 = `2001:db8:0:${10 + number}::1`;
  await addNamespace(netns, stack);
  await ip(bridge, [
    `link add p${number} type veth peer name eth0 netns ${netns}`,
    `link set p${number} master br0`,
    `link set p${number} up`,
  ]);
  await ip(netns, ["link set lo up", `addr add ${v4}/24 dev eth0`, `addr add ${v6}/32 dev eth0 nodad`, "link set eth0 up"]);
  if (number > 0)
    await run(["tc", "-n", bridge, "qdisc", "add", "dev", `p${number}`, "root", "tbf", "rate", DEVICE_RATE, "burst", "64k", "limit", "1m"]);
  const [link] = JSON.parse(await run(["ip", "-j", "-n", netns, "link", "show", "dev", "eth0"])) as { ifindex: number; address: string }[];
  return { netns, v4, v6, index: link?.ifindex ?? 0, mac: link?.address ?? "" };
}

async function addNamespace(netns: string, stack: AsyncDisposableStack): Promise<void> {
  await run(["ip", "netns", "add", netns]);
  stack.defer(async () => {
    await run(["ip", "netns", "delete", netns]);
  });
}

async function ip(netns: string, lines: readonly string[]): Promise<void> {
  await run(["ip", "-n", netns, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
