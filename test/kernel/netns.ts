import { inNetns, run } from "../lab/exec.ts";
import type { Peer } from "../lab/peer.ts";
import type { Answers, Asks } from "./actor.ts";
import { addEnd, type BridgeEnd, makeBridge, startActor } from "./bridge.ts";
import { sendPackets } from "./frames.ts";

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
  await makeBridge(bridge, stack);
  const host = await addStation(prefix, bridge, 0, stack);
  const others: BridgeEnd[] = [];
  for (let number = 1; number <= devices; number++) others.push(await addStation(prefix, bridge, number, stack));
  const station = async (link: BridgeEnd): Promise<Station> => {
    const actor = stack.use(await startActor(link.netns));
    const send = (packets: readonly Buffer[]) => sendPackets(link.netns, { index: link.index, neighbour: host.mac }, packets);
    return { netns: link.netns, v4: link.v4, v6: link.v6, actor, within: inNetns(link.netns, []), send };
  };
  const scene = { host: await station(host), devices: await Promise.all(others.map(station)) };
  const held = stack.move();
  return { ...scene, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function addStation(prefix: string, bridge: string, number: number, stack: AsyncDisposableStack): Promise<BridgeEnd> {
  const netns = `${prefix}-${number === 0 ? "host" : `d${number}`}`;
  const options = { netns, port: number, v4: `203.0.113.${10 + number}`, v6: `2001:db8:0:${10 + number}::1`, v6Length: 32 };
  const end = await addEnd(bridge, options, stack);
  if (number > 0)
    await run(["tc", "-n", bridge, "qdisc", "add", "dev", `p${number}`, "root", "tbf", "rate", DEVICE_RATE, "burst", "64k", "limit", "1m"]);
  return end;
}
