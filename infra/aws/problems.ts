import { contains, type Prefix, parsePrefix } from "../../lib/ip.ts";
import { caProblems } from "./certificates.ts";
import type { AwsSettings } from "./form.ts";
import { nameProblem } from "./host-names.ts";
import { instanceProblem } from "./instances.ts";
import type { Tolerant } from "./tolerant.ts";

/** What the packages of a version can run. */
export interface PackagesRun {
  /** Several registries over PostgreSQL. */
  readonly replicas: boolean;
}

export interface Found {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Settings whose parts are there where they have the right form. */
export type Readable = Exclude<Tolerant<AwsSettings>, null>;
type Tell = (path: Found["path"], message: string) => void;

/** What a VPC's network may be: private, so that it hides nothing of the internet (RFC 1918, RFC 6598). */
const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"].map(parsePrefix);
const SSM_AGENT = /^amazon-ssm-agent[_.-].*\.deb$/;

/** All that is wrong beyond form. */
export function problemsOf(settings: Readable, runs: PackagesRun, nowMs: number): Found[] {
  const found: Found[] = [];
  const tell: Tell = (path, message) => found.push({ path, message });
  environmentProblems(settings, tell);
  networkProblems(settings, tell);
  certificateProblems(settings, nowMs, tell);
  packageProblems(settings, tell);
  instanceProblems(settings, tell);
  registryProblems(settings, runs, tell);
  hostProblems(settings, tell);
  admitProblems(settings, tell);
  return found;
}

function environmentProblems({ environment, state }: Readable, tell: Tell): void {
  // AWS takes no load balancer whose name begins with internal-, no group with sg-, no bucket with these.
  if (environment !== null && /^(internal|sg|sthree|amzn)(-|$)/.test(environment))
    tell(["environment"], `${environment} begins names that AWS keeps for itself: take another one`);
  const region = /^arn:aws:kms:([^:]+):/.exec(state?.kmsKey ?? "")?.[1];
  if (region !== undefined && state?.region != null && region !== state.region)
    tell(["state", "kmsKey"], `the key is in ${region}, the bucket in ${state.region}: S3 encrypts with keys of its own region`);
}

const prefixOf = (text: string | null | undefined): Prefix | null => (text == null ? null : parsePrefix(text));
const overlap = (one: Prefix, other: Prefix): boolean => contains(one, other) || contains(other, one);

function networkProblems({ network, region }: Readable, tell: Tell): void {
  if (network === null) return;
  const whole = prefixOf(network.cidr);
  if (whole !== null && (whole.family !== 4 || whole.length < 16 || whole.length > 24))
    tell(["network", "cidr"], "the network is IPv4, from /16 to /24");
  else if (whole !== null && !PRIVATE.some((one) => contains(one, whole)))
    tell(["network", "cidr"], `${whole.text} is not private: what it covers of the internet could not be reached`);
  const zones = network.zones ?? [];
  const subnets = zones.flatMap((zone, index) =>
    (["open", "restricted"] as const).flatMap((kind) => {
      const block = prefixOf(zone?.[kind]);
      return block === null ? [] : [{ block, path: ["zones", index, kind] }];
    }),
  );
  for (const [index, { block, path }] of subnets.entries()) {
    if (block.family === 6) {
      tell(["network", ...path], `${block.text} is IPv6: here the IPv4 network is named, AWS assigns the other one`);
      continue;
    }
    if (whole?.family === 4 && !contains(whole, block)) tell(["network", ...path], `${block.text} is not inside ${whole.text}`);
    const before = subnets.slice(0, index).find((other) => overlap(other.block, block));
    if (before !== undefined)
      tell(["network", ...path], `${block.text} overlaps ${before.block.text} of ${before.path.slice(1).join(".")}`);
    // AWS keeps five addresses of each, and a load balancer asks for eight that are free.
    if (block.length > 27) tell(["network", ...path], `${block.text} is smaller than /27`);
  }
  for (const [index, zone] of zones.entries()) {
    const name = zone?.name ?? null;
    if (name === null) continue;
    // Local zones, and letters that no region has, are none.
    if (region !== null && !new RegExp(`^${region}[a-f]$`).test(name))
      tell(["network", "zones", index, "name"], `${name} is not in ${region}`);
  }
  twice(
    zones.map((zone) => zone?.name ?? null),
    (index) => ["network", "zones", index, "name"],
    tell,
  );
  twice(network.endpoints, (index) => ["network", "endpoints", index], tell);
}

/** Tells names that stand in a list more than once. */
function twice(names: readonly (string | null)[] | null | undefined, path: (index: number) => Found["path"], tell: Tell): void {
  for (const [index, name] of (names ?? []).entries())
    if (name !== null && (names ?? []).indexOf(name) < index) tell(path(index), `${name} is named twice`);
}

function certificateProblems({ pki }: Readable, nowMs: number, tell: Tell): void {
  const given = (name: "root" | "infrastructure" | "device"): string | null =>
    pki !== null && name in pki ? ((pki as { readonly [_ in typeof name]?: string | null })[name] ?? null) : null;
  const cas = { root: given("root"), infrastructure: given("infrastructure"), device: given("device") };
  for (const [name, message] of caProblems(cas, nowMs)) tell(["pki", name], message);
}

function packageProblems({ packages, architecture }: Readable, tell: Tell): void {
  const more = packages?.more ?? null;
  if (more === null) return;
  twice(more, (index) => ["packages", "more", index], tell);
  if (!more.some((file) => file === null || SSM_AGENT.test(file)))
    tell(
      ["packages", "more"],
      "the SSM agent's package is not among them, and without it nobody comes in: amazon-ssm-agent_ARCHITECTURE.deb",
    );
  for (const [index, file] of more.entries()) {
    const [, own] = /_(amd64|arm64)\.deb$/.exec(file ?? "") ?? [];
    if (own !== undefined && architecture !== null && own !== architecture)
      tell(["packages", "more", index], `${file} is for ${own}, the machines are ${architecture}`);
  }
}

function instanceProblems({ architecture, registry, restricted }: Readable, tell: Tell): void {
  for (const [part, settings] of Object.entries({ registry, restricted })) {
    const type = settings?.instanceType ?? null;
    const message = type === null || architecture === null ? null : instanceProblem(type, architecture);
    if (message !== null) tell([part, "instanceType"], message);
  }
}

function registryProblems({ registry, network }: Readable, runs: PackagesRun, tell: Tell): void {
  if (registry === null) return;
  const { replicas, database, zone } = registry;
  if (replicas !== null) {
    if (replicas > 1 && !runs.replicas)
      tell(
        ["registry", "replicas"],
        `${replicas} need PostgreSQL, which the registry of this version cannot use yet: it serves both roles over SQLite`,
      );
    if (replicas > 1 && database === undefined) tell(["registry", "database"], `${replicas} replicas need one`);
    if (replicas === 1 && database !== undefined)
      tell(["registry", "database"], "one replica keeps SQLite on its volume: a database is for more");
  }
  const zones = network?.zones ?? null;
  if (zones === null) return;
  if (replicas !== null && replicas > 1 && zones.length < 2) tell(["registry", "replicas"], "a database needs two zones");
  if (zone != null && !isZone(zones, zone)) tell(["registry", "zone"], `there is no zone ${zone}`);
}

/** A zone whose name cannot be read may be any. */
const isZone = (zones: readonly ({ readonly name: string | null } | null)[], name: string): boolean =>
  zones.some((zone) => zone === null || zone.name === null || zone.name === name);

function hostProblems({ restricted, network }: Readable, tell: Tell): void {
  const hosts = restricted?.hosts ?? [];
  const names = hosts.map((host) => host?.name ?? null);
  twice(names, (index) => ["restricted", "hosts", index, "name"], tell);
  for (const [index, host] of hosts.entries()) {
    if (host === null) continue;
    const message = host.name === null ? null : nameProblem(host.name, names);
    if (message !== null) tell(["restricted", "hosts", index, "name"], message);
    if (host.zone !== null && network?.zones != null && !isZone(network.zones, host.zone))
      tell(["restricted", "hosts", index, "zone"], `there is no zone ${host.zone}`);
  }
  const lanes = restricted?.lanes ?? null;
  if (lanes !== null && Object.values(lanes).every((on) => on === false))
    tell(["restricted", "lanes"], "nobody is let in: every lane is off");
}

function admitProblems({ restricted, network }: Readable, tell: Tell): void {
  const admit = restricted?.admit ?? null;
  if (admit === null || admit === "everyone" || typeof admit === "string") return;
  if (restricted?.lanes?.roaming === true) tell(["restricted", "admit"], "roaming admits from anywhere: with it, admit is everyone");
  const inside = prefixOf(network?.cidr);
  const prefixes = admit.map(prefixOf);
  for (const [index, prefix] of prefixes.entries()) {
    if (prefix === null) continue;
    const path = ["restricted", "admit", index];
    if (prefix.length === 0) tell(path, `${prefix.text} is everyone: say so, or name networks`);
    if (prefixes.slice(0, index).some((other) => other !== null && contains(other, prefix)))
      tell(path, `${prefix.text} is admitted already`);
    else {
      const narrower = prefixes.slice(0, index).find((other) => other !== null && contains(prefix, other));
      if (narrower != null) tell(path, `${prefix.text} overlaps ${narrower.text}, which is named before it`);
    }
    if (prefix.length > 0 && inside !== null && overlap(inside, prefix))
      tell(path, `${prefix.text} overlaps the network itself: the load balancers are reached from outside`);
  }
}
