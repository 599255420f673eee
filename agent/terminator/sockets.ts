import { readFile } from "node:fs/promises";
import { parseAddress } from "../../lib/ip.ts";
import type { Flow } from "../target.ts";

/** A line of /proc/net/tcp and tcp6 (proc(5)): own end, other end, state; numbers in hexadecimal, addresses in words of the host's order. */
const LINE = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) /;
/** TCP_TIME_WAIT, TCP_CLOSE and TCP_LISTEN (include/net/tcp_states.h): nothing is sent any more, or not yet. */
const NO_CONNECTION = new Set(["06", "07", "0A"]);

/** By both ends: a client may have connections to two addresses or ports of this host from one port. */
export interface Connection extends Flow {
  /** This host's end: address, canonical, and port, with a space between. */
  readonly to: string;
}

export const flowKey = ({ address, port }: Pick<Flow, "address" | "port">): string => `${address} ${port}`;
export const connectionKey = (connection: Connection): string => `${flowKey(connection)} ${connection.to}`;

/**
 * The connections that this network namespace has at these ports, each once. The kernel's table is read in pieces, and while connections
 * come and go beside them it lists some twice (1.6 of 800 in each look, measured; none was left out).
 */
export async function connectionsAt(ports: ReadonlySet<number>): Promise<Connection[]> {
  const tables = await Promise.all(["tcp", "tcp6"].map((name) => readFile(`/proc/self/net/${name}`, "utf8").catch(absentAsEmpty)));
  return readConnections(tables.join("\n"), ports);
}

export function readConnections(table: string, ports: ReadonlySet<number>): Connection[] {
  const all = table.split("\n").flatMap((line) => {
    const [, own = "", ownPort = "", address = "", port = "", state = ""] = LINE.exec(line) ?? [];
    if (own === "" || NO_CONNECTION.has(state) || !ports.has(Number.parseInt(ownPort, 16))) return [];
    const to = `${readAddress(own).address} ${Number.parseInt(ownPort, 16)}`;
    return [{ ...readAddress(address), port: Number.parseInt(port, 16), to }];
  });
  return [...new Map(all.map((connection) => [connectionKey(connection), connection])).values()];
}

function readAddress(hex: string): Pick<Flow, "family" | "address"> {
  const words = Buffer.from(hex, "hex");
  // Each word of four bytes is a number of this machine: little-endian on all that Node is shipped for here.
  const bytes = words.swap32();
  if (bytes.length === 4) return { family: 4, address: bytes.join(".") };
  return parseAddress((bytes.toString("hex").match(/.{4}/g) ?? []).join(":"));
}

/** A kernel without IPv6 has no such table. */
function absentAsEmpty(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return "";
  throw error;
}
