import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { once } from "node:events";
import ipaddr from "ipaddr.js";
import { inNetns } from "../lab/exec.ts";

/** Frames as a stranger can craft them: what ordinary sockets do not send. All lengths and checksums are right unless said. */
export interface Ends {
  readonly from: string;
  readonly to: string;
}

const bytesOf = (address: string): Buffer => Buffer.from(ipaddr.parse(address).toByteArray());
const isV6 = (ends: Ends): boolean => ends.to.includes(":");

export const PROTOCOL = { hopByHop: 0, icmp: 1, tcp: 6, udp: 17, fragment: 44, icmpv6: 58, destination: 60, unassigned: 253 } as const;

/** RFC 1071. */
function checksum(...parts: readonly Buffer[]): number {
  const all = Buffer.concat(parts);
  const even = all.length % 2 === 0 ? all : Buffer.concat([all, Buffer.from([0])]);
  let sum = 0;
  for (let at = 0; at < even.length; at += 2) sum += even.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Writes the transport checksum over the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1). */
function summed(ends: Ends, protocol: number, body: Buffer, at: number): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const pseudo = isV6(ends)
    ? Buffer.concat([bytesOf(ends.from), bytesOf(ends.to), length, Buffer.from([0, 0, 0, protocol])])
    : Buffer.concat([bytesOf(ends.from), bytesOf(ends.to), Buffer.from([0, protocol]), length.subarray(2)]);
  body.writeUInt16BE(checksum(pseudo, body), at);
  return body;
}

export const TCP_FLAG = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

/** One TCP segment without data. */
export function tcp(ends: Ends, fromPort: number, toPort: number, flags: number): Buffer {
  const body = Buffer.alloc(20);
  body.writeUInt16BE(fromPort, 0);
  body.writeUInt16BE(toPort, 2);
  body.writeUInt32BE(0x1000_0000, 4);
  if ((flags & TCP_FLAG.ack) !== 0) body.writeUInt32BE(0x2000_0000, 8);
  body[12] = 5 << 4;
  body[13] = flags;
  body.writeUInt16BE(64_240, 14);
  return ip(ends, PROTOCOL.tcp, summed(ends, PROTOCOL.tcp, body, 16));
}

export function udp(ends: Ends, toPort: number, payload = "hello"): Buffer {
  return ip(ends, PROTOCOL.udp, udpBody(ends, toPort, payload));
}

function udpBody(ends: Ends, toPort: number, payload: string): Buffer {
  const body = Buffer.concat([Buffer.alloc(8), Buffer.from(payload)]);
  body.writeUInt16BE(40_000, 0);
  body.writeUInt16BE(toPort, 2);
  body.writeUInt16BE(body.length, 4);
  return summed(ends, PROTOCOL.udp, body, 6);
}

/** An ICMP message of the family with twelve more bytes. */
export function icmp(ends: Ends, type: number, code = 0): Buffer {
  const body = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 7, 0, 1]), Buffer.alloc(12)]);
  if (isV6(ends)) return ip(ends, PROTOCOL.icmpv6, summed(ends, PROTOCOL.icmpv6, body, 2));
  body.writeUInt16BE(checksum(body), 2);
  return ip(ends, PROTOCOL.icmp, body);
}

/** The first fragment of a datagram whose rest never comes. */
export function firstFragment(ends: Ends): Buffer {
  const body = udpBody(ends, 9, "x".repeat(1_000)).subarray(0, 512);
  if (!isV6(ends)) return ip(ends, PROTOCOL.udp, body, { fragment: 0x2000 });
  const header = Buffer.from([PROTOCOL.udp, 0, 0, 1, 0, 0, 0, 99]);
  return ip(ends, PROTOCOL.fragment, Buffer.concat([header, body]));
}

/** IPv6 with a hop-by-hop option that asks for a parameter problem (RFC 8200 §4.2, option type 10xxxxxx). */
export function oddHopByHop(ends: Ends): Buffer {
  return ip(ends, PROTOCOL.hopByHop, Buffer.concat([Buffer.from([PROTOCOL.udp, 0, 0x81, 4, 0, 0, 0, 0]), udpBody(ends, 9, "x")]));
}

/** IPv6 with a destination option that asks for one, in front of a SYN. */
export function oddDestination(ends: Ends, toPort: number): Buffer {
  const segment = tcp(ends, 40_001, toPort, TCP_FLAG.syn).subarray(40);
  return ip(ends, PROTOCOL.destination, Buffer.concat([Buffer.from([PROTOCOL.tcp, 0, 0x81, 4, 0, 0, 0, 0]), segment]));
}

/** IPv4 with a source route that ends short, which asks for a parameter problem. */
export function oddOptions(ends: Ends): Buffer {
  return ip(ends, PROTOCOL.udp, udpBody(ends, 9, "x"), { options: Buffer.from([0x83, 0x03, 0x01, 0x00]) });
}

/** A whole IP packet with any protocol. */
export function ip(ends: Ends, protocol: number, body: Buffer, more: { fragment?: number; options?: Buffer } = {}): Buffer {
  if (isV6(ends)) {
    const header = Buffer.alloc(8);
    header[0] = 0x60;
    header.writeUInt16BE(body.length, 4);
    header[6] = protocol;
    header[7] = 64;
    return Buffer.concat([header, bytesOf(ends.from), bytesOf(ends.to), body]);
  }
  const options = more.options ?? Buffer.alloc(0);
  const header = Buffer.concat([Buffer.alloc(12), bytesOf(ends.from), bytesOf(ends.to), options]);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(header.length + body.length, 2);
  header.writeUInt16BE(77, 4);
  header.writeUInt16BE(more.fragment ?? 0, 6);
  header[8] = 64;
  header[9] = protocol;
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, body]);
}

/** AF_PACKET, SOCK_DGRAM (packet(7)): the kernel writes the Ethernet header. Node has no raw sockets; perl-base is in every Debian. */
const SENDER = `$| = 1;
socket(my $s, 17, 2, 0) or die "socket: $!";
while (<STDIN>) { my ($index, $mac, $packet) = split or do { print "sent\\n"; next }; my $bytes = pack("H*", $packet);
  my $protocol = (ord($bytes) >> 4) == 6 ? 0x86dd : 0x0800;
  defined send($s, $bytes, 0, pack("S n l S C C a8", 17, $protocol, $index, 0, 0, 6, pack("H*", $mac))) or die "send: $!"; }`;

/** Where packets leave a namespace, and for which neighbour. */
export interface Link {
  readonly index: number;
  readonly neighbour: string;
}

export interface Sender extends AsyncDisposable {
  /** Sends IP packets as they are; resolves when they are sent. @throws Error with perl's words */
  send(packets: readonly Buffer[]): Promise<void>;
}

/** A process kept open that sends out of a namespace's eth0 to one neighbour: no program is started for a volley. */
export function startSender(netns: string, { index, neighbour }: Link): Sender {
  const [program = "", ...words] = inNetns(netns, ["perl", "-e", SENDER]);
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (text: Buffer) => {
    errors += text.toString();
  });
  const closed = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`perl ended with ${code}: ${errors}`)));
  });
  // Told to who sends next.
  closed.catch(() => {});
  child.stdin.on("error", () => {});
  const mac = neighbour.replaceAll(":", "");
  return {
    async send(packets) {
      const sent = once(child.stdout, "data");
      child.stdin.write(`${packets.map((packet) => `${index} ${mac} ${packet.toString("hex")}\n`).join("")}\n`);
      await Promise.race([sent, closed]);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await closed.catch(() => {});
    },
  };
}

/** Sends IP packets out of a namespace's eth0 to one neighbour as they are. @throws Error with perl's words */
export async function sendPackets(netns: string, link: Link, packets: readonly Buffer[]): Promise<void> {
  await using sender = startSender(netns, link);
  await sender.send(packets);
}
