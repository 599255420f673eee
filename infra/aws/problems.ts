import { contains, parsePrefix } from "../../lib/ip.ts";
import type { AwsSettings } from "./form.ts";
import { instanceProblem } from "./instances.ts";

/** What the packages of a version can run. */
export interface PackagesRun {
  /** Several registries over PostgreSQL. */
  readonly replicas: boolean;
}

export interface Found {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

type Picked<K extends keyof AwsSettings, P extends keyof AwsSettings[K]> = { readonly [_ in K]: Pick<AwsSettings[K], P> | null };
/** Settings whose parts are there where they have the right form. */
export type Readable = { readonly [K in "region" | "domain"]: string | null } & Pick<AwsSettings, "architecture" | "image"> &
  Picked<"network", "cidr" | "zones"> &
  Picked<"registry", "instanceType" | "replicas" | "zone" | "database"> &
  Picked<"restricted", "instanceType" | "hosts" | "admit" | "lanes">;

/** All that is wrong beyond form. */
export function problemsOf(settings: Readable, runs: PackagesRun): Found[] {
  return [...networkProblems(settings), ...instanceProblems(settings), ...registryProblems(settings, runs), ...hostProblems(settings)];
}

function networkProblems({ network, region }: Readable): Found[] {
  if (network === null) return [];
  const whole = parsePrefix(network.cidr);
  const found: Found[] = [];
  const tell = (path: Found["path"], message: string) => found.push({ path: ["network", ...path], message });
  if (whole.family !== 4 || whole.length < 16 || whole.length > 24) tell(["cidr"], "the network is IPv4, from /16 to /24");
  const subnets = network.zones.flatMap((zone, index) =>
    (["open", "restricted"] as const).map((kind) => ({ block: parsePrefix(zone[kind]), path: ["zones", index, kind] })),
  );
  for (const [index, { block, path }] of subnets.entries()) {
    if (!contains(whole, block)) tell(path, `${block.text} is not inside ${network.cidr}`);
    const before = subnets.slice(0, index).find((other) => contains(other.block, block) || contains(block, other.block));
    if (before !== undefined) tell(path, `${block.text} overlaps ${before.block.text} of ${before.path.slice(1).join(".")}`);
    // AWS keeps five addresses of each, and a load balancer asks for eight that are free.
    if (block.length > 27) tell(path, `${block.text} is smaller than /27`);
  }
  for (const [index, { name }] of network.zones.entries()) {
    if (region !== null && !new RegExp(`^${region}[a-z]$`).test(name)) tell(["zones", index, "name"], `${name} is not in ${region}`);
    if (network.zones.findIndex((zone) => zone.name === name) < index) tell(["zones", index, "name"], `${name} is named twice`);
  }
  return found;
}

function instanceProblems({ architecture, registry, restricted }: Readable): Found[] {
  return Object.entries({ registry, restricted }).flatMap(([part, settings]) => {
    const message = settings === null ? null : instanceProblem(settings.instanceType, architecture);
    return message === null ? [] : [{ path: [part, "instanceType"], message }];
  });
}

function registryProblems({ registry, network }: Readable, runs: PackagesRun): Found[] {
  if (registry === null) return [];
  const found: Found[] = [];
  const tell = (key: string, message: string) => found.push({ path: ["registry", key], message });
  const { replicas, database, zone } = registry;
  if (replicas > 1 && !runs.replicas)
    tell("replicas", `${replicas} need PostgreSQL, which the registry of this version cannot use yet: it serves both roles over SQLite`);
  if (replicas > 1 && database === undefined) tell("database", `${replicas} replicas need one`);
  if (replicas === 1 && database !== undefined) tell("database", "one replica keeps SQLite on its volume: a database is for more");
  if (network === null) return found;
  if (replicas > 1 && network.zones.length < 2) tell("replicas", "a database needs two zones");
  if (zone !== undefined && !network.zones.some(({ name }) => name === zone)) tell("zone", `there is no zone ${zone}`);
  return found;
}

function hostProblems({ restricted, network }: Readable): Found[] {
  if (restricted === null) return [];
  const found: Found[] = [];
  const tell = (path: Found["path"], message: string) => found.push({ path: ["restricted", ...path], message });
  const { hosts, admit, lanes } = restricted;
  for (const [index, { name, zone }] of hosts.entries()) {
    if (hosts.findIndex((host) => host.name === name) < index) tell(["hosts", index, "name"], `${name} is named twice`);
    if (name === "registry") tell(["hosts", index, "name"], "the registry's own host is called registry");
    if (network !== null && !network.zones.some((one) => one.name === zone)) tell(["hosts", index, "zone"], `there is no zone ${zone}`);
  }
  if (!Object.values(lanes).includes(true)) tell(["lanes"], "nobody is let in: every lane is off");
  if (admit === "everyone") return found;
  if (lanes.roaming) tell(["admit"], "roaming admits from anywhere: with it, admit is everyone");
  for (const [index, cidr] of admit.entries()) {
    if (cidr.endsWith("/0")) tell(["admit", index], `${cidr} is everyone: say so, or name networks`);
    if (admit.slice(0, index).some((other) => contains(parsePrefix(other), parsePrefix(cidr))))
      tell(["admit", index], `${cidr} is admitted already`);
  }
  return found;
}
