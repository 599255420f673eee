/** Ports, paths, names and exit codes of the whole system, in one place (docs/design.md). */

/** Exit codes of every program, after sysexits.h where it has a word for it. */
export const EXIT = {
  ok: 0,
  /** What was asked for was refused or did not come true. */
  failed: 1,
  /** The command line is wrong (EX_USAGE). */
  usage: 64,
  /** Input was refused (EX_DATAERR). */
  data: 65,
  /** The other side cannot be reached (EX_UNAVAILABLE), or the system lacks a tool. */
  unavailable: 69,
  /** A fault of ours (EX_SOFTWARE). */
  software: 70,
  /** Not permitted: needs root or CAP_NET_ADMIN (EX_NOPERM). */
  permission: 77,
  /** The configuration is wrong (EX_CONFIG). */
  config: 78,
} as const;

export const LANES = ["ip", "ipcert", "roaming"] as const;
export type Lane = (typeof LANES)[number];
/** Lanes that an address can stand in; roaming has no set. */
export type RuleLane = "ip" | "ipcert";

/** Packet marks of the lanes: "EO" in ASCII, then the lane's number. */
export const LANE_MARK: Readonly<Record<Lane, number>> = { ip: 0x454f0001, ipcert: 0x454f0002, roaming: 0x454f0003 };
/** Mark of a connection that was cut, in the kernel's connection tracking alone. */
export const CUT_MARK = 0x454f0004;

/**
 * Differentiated services code point of what HAProxy sends to a client whose certificate it found to count: for the gate alone, which
 * takes it off again. Of the pool for local use (RFC 2474 §6).
 */
export const CERTIFIED_DSCP = 3;

export const TABLE = "entityos";
export const FLOOR_TABLE = "entityos_floor";
/** The same rules once more, held by entityos-floor.service. */
export const GROUND_TABLE = "entityos_ground";

export const PORT = {
  register: 443,
  control: 8444,
  service: 443,
  listener: { ip: 8441, ipcert: 8442, roaming: 8443 },
  probe: 8440,
  est: 8445,
} as const;

export const PATH = {
  registryConfig: "/etc/entityos-registry/registry.yaml",
  registryState: "/var/lib/entityos-registry",
  registryRuntime: "/run/entityos-registry",
  controlSocket: "/run/entityos-registry/control.sock",
  agentConfig: "/etc/entityos-agent/agent.yaml",
  agentState: "/var/lib/entityos-agent",
  agentRuntime: "/run/entityos-agent",
  agentSocketName: "agent.sock",
  /** The agent's renewed certificate, in its state folder. */
  agentRenewedName: "agent.crt",
  /** The service's renewed certificate, in the agent's state folder. */
  serviceRenewedName: "service.crt",
  /** Roots that the agent follows beside the pinned one, in its state folder. */
  agentRootsName: "roots.json",
  /** Where nginx asks the agent about every request. */
  authorizerSocketName: "authorizer.sock",
  controlSocketName: "control.sock",
  /** What the agent leaves in its state folder for the next boot: its gate without any element, as an nft script. */
  closedGateName: "gate.nft",
  /** What the agent leaves there for entityos-floor.service: its floor, as an nft script. */
  groundRulesName: "ground.nft",
  /** Where entityos-floor.service is told of changes. */
  groundRuntime: "/run/entityos-ground",
  /** Programs of the Debian packages, and the Node that runs them. */
  programs: "/usr/lib/entityos",
  serviceCertificate: "/etc/entityos-agent/service.crt",
  applicationSocket: "/run/entityos-application/http.sock",
  masterSocket: "/run/entityos-terminator/master.sock",
} as const;

/** System users of the services, each with a group of the same name. */
export const USER = { registry: "entityos-registry", agent: "entityos-agent" } as const;

/** Subject names in the SAN of every certificate. */
export const URN = {
  agent: "urn:entityos:agent:",
  operator: "urn:entityos:operator:",
  metrics: "urn:entityos:metrics:",
  device: "urn:entityos:device:",
  /** Whole: only control's own certificate has it, so that none made for the same host name can stand in for it. */
  control: "urn:entityos:control",
} as const;
