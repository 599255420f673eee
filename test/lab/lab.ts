import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/file.ts";
import { shellLine } from "../../lib/shell.ts";
import { controlSocket } from "./configs.ts";
import { claimFolder, paths, removeLab, savePlan } from "./folder.ts";
import { createNetwork } from "./network.ts";
import { LAB, type LabOptions, type LabPlan, type Member, planLab } from "./plan.ts";
import {
  agentOf,
  enrolAgent,
  floorOf,
  initRegistry,
  serviceOf,
  setProfiles,
  startAgent,
  startFloorHolder,
  startRegistry,
  startService,
  startTerminator,
  statusCommand,
  terminatorOf,
  writePeople,
} from "./programs.ts";

/** What `lab up` prints: all that a test or a person needs to use the lab. */
export interface LabDescription {
  readonly registerUrl: string;
  readonly caFile: string;
  readonly controlSocket: string;
  readonly service: { readonly host: string; readonly port: number };
  readonly hosts: readonly (Member & { readonly statusCommand: string })[];
  readonly devices: readonly Member[];
  readonly logs: Readonly<Record<string, string>>;
}

export interface Lab extends AsyncDisposable {
  readonly plan: LabPlan;
  readonly description: LabDescription;
}

export interface StartOptions extends LabOptions {
  /** Told in a few words what is being done. */
  readonly progress?: (text: string) => void;
  readonly signal?: AbortSignal;
  /** How long agents may take until they enforce. */
  readonly readyTimeoutMs?: number;
  /** Runs after the registry's init and before it serves: for filling Storage. */
  readonly beforeServe?: (plan: LabPlan) => Promise<void>;
}

/**
 * Builds both zones on this machine and resolves when every agent enforces and every service answers. Disposing takes all of it
 * away, and so does a failure on the way up.
 * @throws LabError when the options or the machine do not allow it
 */
export async function startLab(options: StartOptions = {}): Promise<Lab> {
  const plan = planLab(options);
  claimFolder(plan);
  try {
    await build(plan, options);
    const description = describe(plan);
    writeFileAtomic(descriptionFile(plan), `${JSON.stringify(description, null, 2)}\n`);
    return {
      plan,
      description,
      async [Symbol.asyncDispose]() {
        await removeLab(plan.name);
      },
    };
  } catch (error) {
    await removeLab(plan.name);
    throw error;
  }
}

/** From here on the lab stands by itself: whoever started it may end. */
export const releaseLab = (lab: Lab): void => savePlan(lab.plan, null);

export const descriptionFile = (plan: Pick<LabPlan, "folder">): string => join(plan.folder, "lab.json");

async function build(plan: LabPlan, options: StartOptions): Promise<void> {
  const { progress = () => {}, signal, registryConfig, agentConfig, readyTimeoutMs } = options;
  progress(`network: 1 bridge, ${plan.hosts.length} restricted host(s), ${plan.devices.length} device(s)`);
  await Promise.all([createNetwork(plan, signal), initRegistry(plan, registryConfig, signal), writePeople(plan)]);
  await options.beforeServe?.(plan);
  progress("registry: starting");
  await startRegistry(plan, signal);
  progress("agents: enrolling");
  await Promise.all([setProfiles(plan), ...plan.hosts.map((host) => enrolAgent(plan, host, agentConfig, signal))]);
  copyFileSync(join(paths(plan).of(plan.hosts[0]?.name ?? ""), "ca.pem"), caFile(plan));
  progress("agents and services: starting");
  await Promise.all(plan.hosts.map((host) => startHost(plan, host, { signal, readyTimeoutMs })));
  progress("ready");
}

/** The agent writes what the terminator starts with. */
async function startHost(plan: LabPlan, host: Member, options: Parameters<typeof startAgent>[2]): Promise<void> {
  await startFloorHolder(plan, host, options?.signal);
  await Promise.all([startAgent(plan, host, options), startService(plan, host, options?.signal)]);
  await startTerminator(plan, host, options?.signal);
}

function describe(plan: LabPlan): LabDescription {
  const processes = ["registry", ...plan.hosts.flatMap((host) => [floorOf(host), agentOf(host), terminatorOf(host), serviceOf(host)])];
  return {
    registerUrl: `https://${plan.registry.address}`,
    caFile: caFile(plan),
    controlSocket: controlSocket(plan),
    service: { host: plan.hosts[0]?.address ?? "", port: LAB.servicePort },
    hosts: plan.hosts.map((host) => ({ ...host, statusCommand: shellLine(statusCommand(plan, host)) })),
    devices: plan.devices,
    logs: Object.fromEntries(processes.map((name) => [name, paths(plan).log(name)])),
  };
}

const caFile = (plan: LabPlan): string => join(plan.folder, "ca.pem");
