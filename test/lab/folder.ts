import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/file.ts";
import { run } from "./exec.ts";
import { deleteNetwork, namespaceExists, pidsInside } from "./network.ts";
import { LAB, LabError, type LabPlan, members, namespaces } from "./plan.ts";
import { closeRecords, endProcesses, identify, isAlive, type ProcessId, RECORDS } from "./processes.ts";

/** Where everything of a member lives. */
export const paths = (plan: LabPlan) => ({
  logs: join(plan.folder, "logs"),
  log: (name: string) => join(plan.folder, "logs", `${name}.log`),
  of: (member: string) => join(plan.folder, member),
  dataOf: (member: string) => join(plan.dataFolder, member),
});

interface Saved {
  readonly plan: LabPlan;
  /** Who is responsible while it lives; null once the lab stands by itself. */
  readonly owner: ProcessId | null;
}

/**
 * Writes the plan down before anything of it exists, so that whatever comes into being can be found and taken away.
 * @throws LabError when a lab of this name stands, or something else has its namespaces
 */
export function claimFolder(plan: LabPlan): void {
  mkdirSync(LAB.root, { recursive: true, mode: 0o700 });
  try {
    mkdirSync(plan.folder, { mode: 0o700 });
  } catch (cause) {
    throw new LabError(`Cannot start lab '${plan.name}': it stands already, in ${plan.folder}`, { cause });
  }
  const foreign = namespaces(plan).filter(namespaceExists);
  if (foreign.length > 0) {
    rmSync(plan.folder, { recursive: true });
    throw new LabError(`Cannot start lab '${plan.name}': the namespaces ${foreign.join(", ")} exist and are no lab's`);
  }
  savePlan(plan, identify(process.pid) ?? null);
  mkdirSync(join(plan.folder, RECORDS), { mode: 0o700 });
  mkdirSync(paths(plan).logs, { mode: 0o700 });
  mkdirSync(plan.dataFolder, { recursive: true, mode: 0o700 });
  for (const member of members(plan)) {
    mkdirSync(paths(plan).of(member.name), { mode: 0o700 });
    mkdirSync(paths(plan).dataOf(member.name), { recursive: true, mode: 0o700 });
  }
}

export function savePlan(plan: LabPlan, owner: ProcessId | null): void {
  const saved: Saved = { plan, owner };
  writeFileAtomic(join(plan.folder, "plan.json"), `${JSON.stringify(saved, null, 2)}\n`);
}

/** The plan of a standing, or half standing, lab. Undefined when nothing but perhaps an empty folder is there. */
export function readPlan(name: string): Saved | undefined {
  const file = join(LAB.root, name, "plan.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

/** Names of all labs on this machine. */
export const listLabs = (): readonly string[] => (existsSync(LAB.root) ? readdirSync(LAB.root).sort() : []);

/**
 * Takes a lab away, however far it came: its recorded processes, all inside its namespaces, the namespaces, the folders.
 * Nothing else is touched. Taking away what is not there is no error.
 * @returns false when there was nothing
 * @throws LabError when the process that keeps the lab still lives
 */
export async function removeLab(name: string): Promise<boolean> {
  const folder = join(LAB.root, name);
  if (!existsSync(folder)) return false;
  const saved = readPlan(name);
  if (saved?.owner && saved.owner.pid !== process.pid && isAlive(saved.owner)) {
    throw new LabError(`Cannot take lab '${name}' down: process ${saved.owner.pid} keeps it and still runs; end that first`);
  }
  if (saved) await removeContents(saved.plan);
  rmSync(folder, { recursive: true, force: true });
  return true;
}

async function removeContents(plan: LabPlan): Promise<void> {
  await endProcesses(await closeRecords(plan.folder));
  for (let inside = await processesInside(plan); inside.length > 0; inside = await processesInside(plan)) await endProcesses(inside);
  await deleteNetwork(plan);
  for (const folder of mountsBelow(plan.dataFolder)) await run(["umount", "--lazy", folder]);
  rmSync(plan.dataFolder, { recursive: true, force: true });
}

/** Disks that a test put under a member's data, the last one first. */
function mountsBelow(folder: string): readonly string[] {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return mounts
    .flatMap((line) => line.split(" ")[1] ?? [])
    .filter((mount) => mount.startsWith(`${folder}/`))
    .reverse();
}

async function processesInside(plan: LabPlan): Promise<readonly ProcessId[]> {
  const pids = await Promise.all(namespaces(plan).map(pidsInside));
  return pids.flat().flatMap((pid) => identify(pid) ?? []);
}
