import { fileURLToPath } from "node:url";
import { TERMINATORS, type TerminatorKind } from "../../agent/config.ts";

/** What a lab is made of: names and addresses alone, before anything exists. */
export interface LabPlan {
  readonly name: string;
  /** Sockets, configurations, logs and records; 0700. */
  readonly folder: string;
  /** State of registry and agents, on a disk: /run is memory on most machines, and a commit there costs nothing. */
  readonly dataFolder: string;
  /** Namespace of the bridge. */
  readonly bridge: string;
  readonly registry: Member;
  readonly hosts: readonly Member[];
  readonly devices: readonly Member[];
  /** Names of the hosts where certificates admit from anywhere. */
  readonly roaming: readonly string[];
  /** What ends TLS on every host. */
  readonly terminator: TerminatorKind;
}

/** One machine of the lab: a network namespace with one link to the bridge. */
export interface Member {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
  readonly address6: string;
}

export interface LabOptions {
  readonly name?: string;
  readonly agents?: number;
  readonly devices?: number;
  /** How many of the hosts, the last ones, have the lane `roaming` on. None by default. */
  readonly roaming?: number;
  /** HAProxy when left out. */
  readonly terminator?: TerminatorKind;
  /** Merged over the registry's and every agent's configuration. */
  readonly registryConfig?: Readonly<Record<string, unknown>>;
  readonly agentConfig?: Readonly<Record<string, unknown>> & { readonly terminator?: object };
}

export const LAB = {
  root: "/run/entityos-lab",
  dataRoot: "/var/lib/entityos-lab",
  network: "203.0.113.0/24",
  network6: "2001:db8::/64",
  /** Registers addresses of the lab's networks, one by one, also over IPv6: all its machines share one /64. */
  profile: "lab",
  /** Of laptops: a certificate admits from anywhere. Of vaults: a certificate, and only from the device's own address. */
  certProfile: "laptop",
  bothProfile: "vault",
  /** Who may log in at the application. */
  person: "ada",
  /** Hosts are .11 to .90, devices .101 to .199. */
  maxHosts: 80,
  maxDevices: 99,
  registerPort: 443,
  controlPort: 8444,
  servicePort: 443,
  readyTimeoutMs: 120_000,
} as const;

export const PROJECT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** A lab that cannot be as asked, or stands already. Its message is for people. */
export class LabError extends Error {}

/** @throws LabError when a name or number is out of range */
export function planLab(options: LabOptions): LabPlan {
  const { name = "lab", agents = 1, devices = 2, roaming = 0, terminator = "haproxy" } = options;
  if (!/^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$/.test(name)) {
    throw new LabError(`Cannot name a lab '${name}': 1 to 24 lower-case letters, digits and hyphens`);
  }
  bounded("agents", agents, LAB.maxHosts);
  bounded("devices", devices, LAB.maxDevices);
  if (!Number.isInteger(roaming) || roaming < 0 || roaming > agents) throw new LabError(`Cannot let ${roaming} of ${agents} agents roam`);
  const member = (suffix: string, number: number): Member => ({
    name: suffix,
    netns: `eos-${name}-${suffix}`,
    address: `203.0.113.${number}`,
    address6: `2001:db8::${number}`,
  });
  return {
    name,
    folder: `${LAB.root}/${name}`,
    dataFolder: `${LAB.dataRoot}/${name}`,
    bridge: `eos-${name}-net`,
    registry: member("registry", 2),
    hosts: Array.from({ length: agents }, (_, i) => member(`host${i + 1}`, 11 + i)),
    roaming: Array.from({ length: roaming }, (_, i) => `host${agents - i}`),
    terminator,
    devices: Array.from({ length: devices }, (_, i) => member(`device${i + 1}`, 101 + i)),
  };
}

/** @throws LabError when there is no such terminator */
export function terminatorNamed(name: string): TerminatorKind {
  const known = TERMINATORS.find((kind) => kind === name);
  if (known === undefined) throw new LabError(`Cannot put '${name}' in front of the application: ${TERMINATORS.join(" or ")}`);
  return known;
}

export const members = (plan: LabPlan): readonly Member[] => [plan.registry, ...plan.hosts, ...plan.devices];
export const namespaces = (plan: LabPlan): readonly string[] => [plan.bridge, ...members(plan).map((member) => member.netns)];

function bounded(what: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new LabError(`Cannot make ${value} ${what}: between 1 and ${most}`);
  }
}
