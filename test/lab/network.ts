import { existsSync } from "node:fs";
import { run } from "./exec.ts";
import { type LabPlan, type Member, members, namespaces } from "./plan.ts";
import { runRecorded } from "./processes.ts";

/**
 * Makes the namespaces, the bridge and the links. Every interface is born inside a namespace; the machine's own gets none.
 * @throws CommandError when one of them cannot be made; {@link deleteNetwork} then takes away what was
 */
export async function createNetwork(plan: LabPlan, signal?: AbortSignal): Promise<void> {
  const all = members(plan);
  await batch(
    plan,
    [],
    namespaces(plan).map((netns) => `netns add ${netns}`),
    signal,
  );
  const bridge = ["link set lo up", "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 addrgenmode none up"];
  const ports = all.flatMap((member, index) => [
    `link add p${index} type veth peer name eth0 netns ${member.netns}`,
    `link set p${index} master br0`,
    `link set p${index} addrgenmode none up`,
  ]);
  await batch(plan, ["-n", plan.bridge], [...bridge, ...ports], signal);
  await Promise.all(all.map((member) => configure(plan, member, signal)));
}

/** Deletes the plan's namespaces that exist; links go with them. */
export async function deleteNetwork(plan: LabPlan): Promise<void> {
  const lines = namespaces(plan)
    .filter(namespaceExists)
    .map((netns) => `netns delete ${netns}\n`);
  if (lines.length > 0) await run(["ip", "-batch", "-"], { input: lines.join("") });
}

export const namespaceExists = (netns: string): boolean => existsSync(`/run/netns/${netns}`);

/** Process ids inside a namespace. */
export async function pidsInside(netns: string): Promise<readonly number[]> {
  if (!namespaceExists(netns)) return [];
  return (await run(["ip", "netns", "pids", netns])).split("\n").filter(Boolean).map(Number);
}

/** No duplicate address detection: it would hold IPv6 back for a second. */
function configure(plan: LabPlan, member: Member, signal?: AbortSignal): Promise<void> {
  const lines = [
    "link set lo up",
    `addr add ${member.address}/24 dev eth0`,
    `addr add ${member.address6}/64 dev eth0 nodad`,
    "link set eth0 up",
  ];
  return batch(plan, ["-n", member.netns], lines, signal);
}

async function batch(plan: LabPlan, flags: readonly string[], lines: readonly string[], signal?: AbortSignal): Promise<void> {
  await runRecorded(plan.folder, ["ip", ...flags, "-batch", "-"], { input: `${lines.join("\n")}\n`, signal });
}
