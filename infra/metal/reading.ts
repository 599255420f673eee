import { desiredFor, UNREAD } from "./deploy.ts";
import { digestOf, summaryOf } from "./desired.ts";
import { differencesOf, notesOf, wordsOf } from "./differences.ts";
import { HostError } from "./errors.ts";
import { type Observed, observe } from "./observed.ts";
import type { PackageFolder } from "./packages.ts";
import { purgeWords } from "./remove.ts";
import type { Host } from "./settings.ts";
import type { Remote } from "./ssh.ts";
import { lockOut } from "./steps.ts";

/** Hosts that are read at a time. */
const AT_A_TIME = 16;

/** What a plan says of a host. */
export interface HostPlan {
  readonly host: Host;
  /** When the deploy was planned that the host has, or is to have: the same as before when it is what it is to be. */
  readonly generation: string;
  readonly digest: string;
  readonly summary: Readonly<Record<string, string>>;
  /** Why the host is to be deployed, in words; empty when it is what it is to be. */
  readonly differences: readonly string[];
  /** What is not well there, and no reason to deploy it. */
  readonly notes: readonly string[];
}

/**
 * Reads every host and says what is to be done. A host that cannot be read is one that differs.
 * @param purge registries' hosts that may be purged
 * @param connect opens a way to a host
 * @param now integer ms
 * @throws HostError would_purge_registry where a host is a registry under another name, or is to be none
 */
export async function planHosts(
  hosts: readonly Host[],
  folder: PackageFolder,
  purge: readonly string[],
  connect: (host: Host) => Remote & Disposable,
  now: number,
): Promise<HostPlan[]> {
  const plans: HostPlan[] = [];
  const waiting = [...hosts.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, host] = next;
      using remote = connect(host);
      plans[index] = await planHost(host, folder, purge, remote, now);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  return plans;
}

async function planHost(host: Host, folder: PackageFolder, purge: readonly string[], remote: Remote, now: number): Promise<HostPlan> {
  const { name } = host.connection;
  const observed = await observe(name, remote).catch((error: unknown) => (error instanceof HostError ? error : Promise.reject(error)));
  if (observed instanceof HostError) return unread(host, observed, now);
  mayBeTaken(host, observed, purge);
  try {
    const desired = desiredFor(host, folder, observed);
    const missing = host.role === "agent" ? lockOut(host, observed) : null;
    const refusal = missing === null ? [] : [new HostError(name, "plan", "would_lock_out", missing).message];
    const differences = wordsOf(differencesOf(desired, observed, now));
    const generation = differences.length === 0 ? observed.record?.generation : undefined;
    const summary = summaryOf(desired);
    const notes = [...notesOf(desired, observed), ...refusal];
    return { host, differences, notes, generation: generation ?? timeText(now), digest: digestOf(summary), summary };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return unread(host, error, now);
  }
}

/** Whatever was deployed there, this plan is another. */
const unread = (host: Host, error: HostError, now: number): HostPlan => ({
  host,
  differences: [error.message],
  notes: [],
  generation: timeText(now),
  digest: UNREAD,
  summary: { unread: error.code },
});

/** A registry that is called otherwise, or is to be none, would be purged as one that is no longer named. */
function mayBeTaken({ connection, role }: Host, { record }: Observed, purge: readonly string[]): void {
  if (record === null || record.zone !== null) return;
  const was = record.host ?? connection.name;
  if ((was !== connection.name || role !== "registry") && !purge.includes(was))
    throw new HostError(connection.name, "plan", "would_purge_registry", `this host is the registry ${was}: ${purgeWords(was)}`);
}

const timeText = (now: number): string => new Date(now).toISOString();
