import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { inNetns } from "./exec.ts";
import { waitFor } from "./wait.ts";

/** A packet on the wire of a host, as tcpdump(1) tells it; addresses canonical, port 0 where there is none. */
export interface Packet {
  /** Milliseconds since 1970, with fractions. */
  readonly at: number;
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  readonly text: string;
}

export interface Capture extends AsyncDisposable {
  /** All packets so far. */
  readonly packets: readonly Packet[];
  /** Resolves once a packet fits that came after the first `after` ones. */
  until(what: string, fits: (packet: Packet) => boolean, after?: number): Promise<Packet>;
}

/** Everything but finding the neighbour on the link (ARP, neighbour discovery), which is no answer to anything asked. */
const NEIGHBOURS = "not arp and not (icmp6 and (ip6[40] == 133 or ip6[40] == 134 or ip6[40] == 135 or ip6[40] == 136))";
const MAX_PACKETS = 200_000;
/** Of each packet, bytes: headers alone. With whole packets the buffer has room for 32, and a busy machine loses some. */
const SNAPSHOT = 256;

/**
 * Captures on a namespace's eth0 where packets arrive before, and leave after, every nftables hook. Resolves once it captures.
 * @param filter pcap-filter(7) expression; neighbour discovery is left out besides
 */
export async function startCapture(netns: string, filter: string): Promise<Capture> {
  const tcpdump = ["tcpdump", "-i", "eth0", "-n", "-tt", "-l", "--immediate-mode", "-B", "8192", "-s", String(SNAPSHOT), "-Z", "root"];
  const [program = "", ...args] = inNetns(netns, [...tcpdump, `(${filter}) and ${NEIGHBOURS}`]);
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const packets: Packet[] = [];
  let errors = "";
  child.once("error", (error) => {
    errors += error.message;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const packet = parsePacket(line);
    if (packet && packets.length < MAX_PACKETS) packets.push(packet);
  });
  /** What was captured after the first `after` packets, as long as the capture can be trusted. */
  const captured = (after = 0): readonly Packet[] => {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`tcpdump ended: ${errors}`);
    if (packets.length >= MAX_PACKETS) throw new Error(`more than ${MAX_PACKETS} packets captured`);
    return packets.slice(after);
  };
  try {
    await waitFor("tcpdump to listen", () => (captured() && errors.includes("listening on")) || undefined);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return {
    packets,
    until(what, fits, after = 0) {
      return waitFor(what, () => captured(after).find(fits), { timeoutMs: 20_000, everyMs: 5 });
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await closed;
    },
  };
}

/** "1764000000.123456 IP 203.0.113.101.40000 > 203.0.113.11.443: Flags [S], …"; undefined for any other line. */
export function parsePacket(line: string): Packet | undefined {
  const match = /^(\d+\.\d+) IP6? (\S+) > (\S+): (.*)$/.exec(line);
  if (!match) return undefined;
  const [, at = "", from = "", to = "", text = ""] = match;
  const [fromAddress, fromPort] = splitPort(from);
  const [toAddress, toPort] = splitPort(to);
  return { at: Number(at) * 1_000, from: fromAddress, fromPort, to: toAddress, toPort, text };
}

/** tcpdump joins address and port with a dot, for both families. */
function splitPort(text: string): readonly [string, number] {
  const dots = text.includes(":") ? 1 : 4;
  const parts = text.split(".");
  return parts.length > dots ? [parts.slice(0, dots).join("."), Number(parts[dots])] : [text, 0];
}
