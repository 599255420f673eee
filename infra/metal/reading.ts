import { desiredFor, UNREAD } from "./deploy.ts";
import { digestOf, summaryOf } from "./desired.ts";
import { differencesOf, wordsOf } from "./differences.ts";
import { HostError } from "./errors.ts";
import { observe } from "./observed.ts";
import type { PackageFolder } from "./packages.ts";
import type { Host } from "./settings.ts";
import type { Remote } from "./ssh.ts";

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
}

/**
 * Reads every host and says what is to be done. A host that cannot be read is one that differs.
 * @param connect opens a way to a host
 * @param now integer ms
 */
export async function planHosts(
  hosts: readonly Host[],
  folder: PackageFolder,
  connect: (host: Host) => Remote & Disposable,
  now: number,
): Promise<HostPlan[]> {
  const plans: HostPlan[] = [];
  const waiting = [...hosts.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, host] = next;
      using remote = connect(host);
      plans[index] = await planHost(host, folder, remote, now);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  return plans;
}

async function planHost(host: Host, folder: PackageFolder, remote: Remote, now: number): Promise<HostPlan> {
  const { name } = host.connection;
  try {
    const observed = await observe(name, remote);
    const desired = desiredFor(host, folder, observed);
    const differences = wordsOf(differencesOf(desired, observed, now));
    const generation = differences.length === 0 ? observed.record?.generation : undefined;
    const summary = summaryOf(desired);
    return { host, differences, generation: generation ?? timeText(now), digest: digestOf(summary), summary };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    // Whatever was deployed there, this plan is another.
    return { host, differences: [error.message], generation: timeText(now), digest: UNREAD, summary: { unread: error.code } };
  }
}

const timeText = (now: number): string => new Date(now).toISOString();
