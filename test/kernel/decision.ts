/**
 * The decision table: what becomes of a request, by who sends it, from where, with what and how. Written from docs/design.md alone; the
 * gate's own rules are rendered elsewhere, and decision-table.test.ts asks a real kernel with a real HAProxy, and one with a real nginx,
 * for each cell.
 */
export const PATTERNS = ["ip", "cert", "either", "both"] as const;
export const ADDRESSES = ["own", "another's (lane ip)", "another's (lane ipcert)", "none"] as const;
export const CERTIFICATES = ["none", "valid", "unregistered", "expired", "revoked", "other CA", "not yet valid", "retired CA"] as const;
export const CONNECTIONS = ["new", "open", "resumed"] as const;

export interface Switches {
  readonly ip: boolean;
  readonly ipcert: boolean;
  readonly roaming: boolean;
}
export const SWITCHES: readonly Switches[] = [true, false].flatMap((roaming) =>
  [true, false].flatMap((ipcert) => [true, false].map((ip) => ({ ip, ipcert, roaming }))),
);

export interface Cell {
  readonly pattern: (typeof PATTERNS)[number];
  /** Where it comes from: an address granted to this device, to another one, to nobody. */
  readonly address: (typeof ADDRESSES)[number];
  readonly certificate: (typeof CERTIFICATES)[number];
  /** Open: connected and served while the certificate was valid; only then did it become what the cell says. */
  readonly connection: (typeof CONNECTIONS)[number];
  readonly lanes: Switches;
}

export type Verdict =
  /** Served, and the application is told which device it is. */
  | "in, known"
  /** Served, and the application is told no device. */
  | "in"
  /** TCP and the server's first TLS flight, then nothing: no HTTP byte, alert, FIN, RST. */
  | "first flight"
  /** No packet at all. */
  | "no packet"
  /** Not one packet more on a connection that was served before. */
  | "cut";

export type Expected = Verdict | { readonly impossible: string };

/** What a connection can become while it is open: all else about a certificate is settled before it opens, or never. */
export const ENDS = ["valid", "expired", "revoked", "retired CA"] as const;
const ENDING = new Set<Cell["certificate"]>(ENDS);

export function expected(cell: Cell): Expected {
  const { pattern, address, certificate, connection } = cell;
  if (pattern === "cert" && address === "own") return { impossible: "the pattern cert has no address" };
  if (pattern === "ip" && !["none", "unregistered", "other CA"].includes(certificate))
    return { impossible: "the pattern ip gets no certificate" };
  if (connection === "new") return fresh(cell);
  if (!ENDING.has(certificate)) return { impossible: "such a certificate never opened a connection as one that counts" };
  const before = fresh({ ...cell, certificate: "valid", connection: "new" });
  if (before !== "in, known") return { impossible: "not admitted before, so there is no connection and no session" };
  // A session is never resumed: the handshake is a whole one, and the certificate is looked at anew.
  if (connection === "resumed") return fresh(cell);
  return certificate === "valid" ? "in, known" : "cut";
}

function fresh(cell: Cell): Verdict {
  const { pattern, address, lanes } = cell;
  const counts = cell.certificate === "valid";
  switch (laneOf(cell)) {
    case null:
      return "no packet";
    case "ip":
      return counts && (pattern !== "both" || address === "own") ? "in, known" : "in";
    case "ipcert": {
      const mayComeFromAnywhere = (pattern === "cert" || pattern === "either") && lanes.roaming;
      return counts && (mayComeFromAnywhere || (pattern === "both" && address === "own")) ? "in, known" : "first flight";
    }
    case "roaming":
      return counts && (pattern === "cert" || pattern === "either") ? "in, known" : "first flight";
  }
}

/** A source in several lanes: ip before ipcert before roaming; a lane that is off is not there. */
function laneOf({ pattern, address, lanes }: Cell): "ip" | "ipcert" | "roaming" | null {
  const inIp = address === "another's (lane ip)" || (address === "own" && (pattern === "ip" || pattern === "either"));
  const inIpcert = address === "another's (lane ipcert)" || (address === "own" && pattern === "both");
  if (inIp && lanes.ip) return "ip";
  if (inIpcert && lanes.ipcert) return "ipcert";
  return lanes.roaming ? "roaming" : null;
}

/** Every cell of a host with these lanes. */
export function cellsOf(lanes: Switches): readonly Cell[] {
  return PATTERNS.flatMap((pattern) =>
    ADDRESSES.flatMap((address) =>
      CERTIFICATES.flatMap((certificate) => CONNECTIONS.map((connection) => ({ pattern, address, certificate, connection, lanes }))),
    ),
  );
}

export const nameOf = ({ pattern, address, certificate, connection, lanes }: Cell): string =>
  `${pattern}, address ${address}, certificate ${certificate}, ${connection}, lanes ${lanesOf(lanes)}`;

export const lanesOf = (lanes: Switches): string =>
  (["ip", "ipcert", "roaming"] as const).filter((lane) => lanes[lane]).join(" + ") || "none";
