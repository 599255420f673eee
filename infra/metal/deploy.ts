import { type Desired, desiredOf, digestOf, summaryOf } from "./desired.ts";
import { differencesOf, wordsOf } from "./differences.ts";
import { HostError } from "./errors.ts";
import { agentHealth, agentHealthy, registryHealthy } from "./health.ts";
import { claimedBy, lockedBy } from "./lock.ts";
import { type Observed, observe } from "./observed.ts";
import type { PackageFolder } from "./packages.ts";
import type { AgentHost, Host, RegistryHost } from "./settings.ts";
import type { Remote } from "./ssh.ts";
import { begin, configure, enrol, initialise, installPackages, lockOut, record, start } from "./steps.ts";

/** What a plan decided for a host. */
export interface Planned {
  /** When it was planned: what the host's record is to say afterwards, for the next plan to find it there. */
  readonly generation: string;
  /** Of what the host was to be when the plan was made. */
  readonly digest: string;
}

/** Digest in a plan of a host that could not be read when it was made. */
export const UNREAD = "unread";

/** What deploying works with. */
export interface Deployment {
  readonly folder: PackageFolder;
  readonly remote: Remote;
  /** The registry's host, where agents are enrolled. */
  readonly registry: Remote;
  /** Who deploys, in words for another one that would at the same time. */
  readonly who: string;
  readonly say: (words: string) => void;
}

/**
 * Makes a host what it is to be: only what differs is done. Resolves when it is healthy.
 * @throws HostError that names host and step; what was done until then stays
 */
export async function deployHost(host: Host, planned: Planned, deployment: Deployment): Promise<void> {
  const { folder, remote, who, say } = deployment;
  const { name } = host.connection;
  const observed = await observe(name, remote);
  if (planned.digest === UNREAD) throw new HostError(name, "plan", "unread", "it could not be read when the plan was made: plan again");
  const desired = desiredFor(host, folder, observed);
  if (digestOf(summaryOf(desired)) !== planned.digest)
    throw new HostError(name, "plan", "changed_since", "settings or packages are others than when the plan was made: plan again");
  const words = wordsOf(differencesOf(desired, observed, Date.now()));
  for (const difference of words) say(`${name}: ${difference}`);
  const missing = host.role === "agent" ? lockOut(host, observed) : null;
  if (missing !== null) throw new HostError(name, "plan", "would_lock_out", missing);
  await begin(lockedBy(remote, who), who);
  const begun = claimedBy(remote, who);
  if (host.role === "registry") await deployRegistry(host, desired, observed, deployment, begun);
  else await deployAgent(host, desired, observed, deployment, begun);
  await record(begun, name, desired, planned.generation);
  say(`${name}: deployed`);
}

/** @throws HostError when there is no package for the host's architecture */
export function desiredFor(host: Host, folder: PackageFolder, observed: Observed): Desired {
  try {
    return desiredOf(host, folder, observed.architecture);
  } catch (cause) {
    throw new HostError(host.connection.name, "plan", "no_package", cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** @param begun the host for what changes it; remote is for what is only asked */
async function deployRegistry(
  host: RegistryHost,
  desired: Desired,
  observed: Observed,
  { folder, remote }: Deployment,
  begun: Remote,
): Promise<void> {
  const differs = differencesOf(desired, observed, Date.now());
  if (differs.packages.length > 0) await installPackages(begun, folder.folder, desired, observed);
  // Before init there is no state that could be checked with it.
  if (differs.files.length > 0) await configure(begun, host, desired, observed.units["entityos-registry.service"]?.active === "active");
  await initialise(begun);
  await start(begun, desired, differs.files.length > 0 || observed.unfinished ? "restart" : "start");
  await registryHealthy(host.connection.name, remote);
}

async function deployAgent(host: AgentHost, desired: Desired, observed: Observed, deployment: Deployment, begun: Remote): Promise<void> {
  const { folder, remote, registry } = deployment;
  const { name } = host.connection;
  const differs = differencesOf(desired, observed, Date.now());
  const before = (await agentHealth(remote))?.pid ?? null;
  if (differs.packages.length > 0) await installPackages(begun, folder.folder, desired, observed);
  if (differs.files.length > 0) await configure(begun, host, desired, observed.enrolled);
  if (differs.enrolment.length > 0) await enrol(begun, registry, host);
  const anew = differs.files.length > 0 || differs.enrolment.length > 0 || observed.unfinished;
  await start(begun, desired, anew ? "restart" : "start");
  await agentHealthy(name, remote, anew || differs.packages.length > 0 ? before : null);
}
