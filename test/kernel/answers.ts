import { LANES, PORT } from "../../lib/service.ts";
import { type Capture, type Packet, startCapture } from "../lab/capture.ts";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { type Ends, firstFragment, icmp, ip, oddDestination, oddHopByHop, oddOptions, PROTOCOL, TCP_FLAG, tcp, udp } from "./frames.ts";
import type { Scene, Station } from "./netns.ts";

export const PROTECTED = [PORT.service, ...LANES.map((lane) => PORT.listener[lane])];
/** Seconds after which a host would tell that fragments are missing; set by {@link answerAll}. */
const REASSEMBLY_MS = 1_000;

/** What a stranger can send that a host without a gate answers. */
export const PROVOCATIONS: readonly { readonly name: string; readonly family: 4 | 6; readonly packet: (ends: Ends) => Buffer }[] = [
  ...([4, 6] as const).flatMap((family) => [
    ...PROTECTED.flatMap((port) => [
      { name: `SYN to ${port}`, family, packet: (ends: Ends) => tcp(ends, 40_000, port, TCP_FLAG.syn) },
      { name: `ACK to ${port}`, family, packet: (ends: Ends) => tcp(ends, 40_002, port, TCP_FLAG.ack) },
    ]),
    { name: "SYN to a closed port", family, packet: (ends: Ends) => tcp(ends, 40_000, 9, TCP_FLAG.syn) },
    { name: "UDP to the service port", family, packet: (ends: Ends) => udp(ends, PORT.service) },
    { name: "UDP to a closed port", family, packet: (ends: Ends) => udp(ends, 9) },
    { name: "an unknown protocol", family, packet: (ends: Ends) => ip(ends, PROTOCOL.unassigned, Buffer.alloc(8)) },
    { name: "half a datagram", family, packet: firstFragment },
  ]),
  { name: "echo request", family: 4, packet: (ends) => icmp(ends, 8) },
  { name: "timestamp request", family: 4, packet: (ends) => icmp(ends, 13) },
  { name: "a broken source route", family: 4, packet: oddOptions },
  { name: "echo request", family: 6, packet: (ends) => icmp(ends, 128) },
  { name: "an odd hop-by-hop option", family: 6, packet: oddHopByHop },
  { name: "an odd destination option", family: 6, packet: (ends) => oddDestination(ends, PORT.service) },
];

type Addressed = Pick<Station, "v4" | "v6">;

export const endsOf = (from: Addressed, to: Addressed, family: 4 | 6): Ends =>
  family === 4 ? { from: from.v4, to: to.v4 } : { from: from.v6, to: to.v6 };

/** Lets the host answer everything at once, without limits of its own. */
export async function answerAll(host: Station): Promise<void> {
  const settings = {
    "ipv4/icmp_ratelimit": 0,
    "ipv4/icmp_msgs_per_sec": 100_000,
    "ipv4/ipfrag_time": REASSEMBLY_MS / 1_000,
    "ipv6/icmp/ratelimit": 0,
    "ipv6/ip6frag_time": REASSEMBLY_MS / 1_000,
    "netfilter/nf_conntrack_frag6_timeout": REASSEMBLY_MS / 1_000,
  };
  const lines = Object.entries(settings).map(([name, value]) => `[ ! -e /proc/sys/net/${name} ] || echo ${value} > /proc/sys/net/${name}`);
  await run([...host.within, "sh", "-ec", lines.join("\n")]);
}

/** A capture at the host of everything from or to one device. */
export const captureOf = (scene: Scene, device: Station): Promise<Capture> =>
  startCapture(scene.host.netns, `host ${device.v4} or host ${device.v6}`);

/** Packets that the host sent to the device. */
export const sentTo = (capture: Capture, device: Station): Packet[] =>
  capture.packets.filter(({ to }) => to === device.v4 || to === device.v6);

/** Sends packets and waits until the host's link has seen all of them. What they provoke comes in the same moment. */
export async function provoke(capture: Capture, device: Station, packets: readonly Buffer[]): Promise<void> {
  const from = () => capture.packets.filter((packet) => packet.from === device.v4 || packet.from === device.v6).length;
  const before = from();
  await device.send(packets);
  await waitFor("the packets on the wire", () => from() >= before + packets.length || undefined);
}

/** Resolves when the host has given up waiting for fragments, and told so if it does. */
export async function reassemblyOver(): Promise<void> {
  const end = performance.now() + 2 * REASSEMBLY_MS;
  await waitFor("reassembly to time out", () => performance.now() > end || undefined, { everyMs: 100 });
}
