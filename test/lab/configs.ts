import { join } from "node:path";
import { stringify } from "yaml";
import { pathsOf } from "../../registry/paths.ts";
import { paths } from "./folder.ts";
import { LAB, type LabOptions, type LabPlan, type Member, PROJECT } from "./plan.ts";

/** The launchers that users install. */
export const BIN = {
  registry: join(PROJECT, "bin/entityos-registry"),
  agent: join(PROJECT, "bin/entityos-agent"),
  cli: join(PROJECT, "bin/entityos"),
  run: join(PROJECT, "scripts/run"),
} as const;

export const registryName = (plan: LabPlan): string => `register.${plan.name}.example`;
export const controlSocket = (plan: LabPlan): string => join(paths(plan).of("registry"), "control.sock");
export const registryConfigFile = (plan: LabPlan): string => join(paths(plan).of("registry"), "registry.yaml");
export const storageFile = (plan: LabPlan): string => pathsOf({ stateDir: paths(plan).dataOf("registry") }).database;
export const agentConfigFile = (plan: LabPlan, host: Member): string => join(paths(plan).of(host.name), "agent.yaml");

export const applicationSocket = (plan: LabPlan, host: Member): string => join(paths(plan).of(host.name), "application.sock");
export const applicationData = (plan: LabPlan, host: Member): string => join(paths(plan).of(host.name), "application");
export const groundFolder = (plan: LabPlan, host: Member): string => join(paths(plan).of(host.name), "ground");
/** Hashes of passwords by person, and what the one that there is sends to log in. */
export const peopleFile = (plan: LabPlan): string => join(plan.folder, "people.json");
export const loginFile = (plan: LabPlan): string => join(plan.folder, "login.json");
export const masterSocket = (plan: LabPlan, host: Member): string => join(paths(plan).of(host.name), "haproxy.sock");

export function registryYaml(plan: LabPlan, overrides: LabOptions["registryConfig"] = {}): string {
  const names = [registryName(plan), plan.registry.address, plan.registry.address6];
  return stringify({
    name: registryName(plan),
    stateDir: paths(plan).dataOf("registry"),
    runtimeDir: paths(plan).of("registry"),
    register: { address: "::", port: LAB.registerPort, names },
    control: { address: "::", port: LAB.controlPort, names: [...names] },
    allowNetworks: [LAB.network, LAB.network6],
    ...overrides,
  });
}

export function agentYaml(plan: LabPlan, host: Member, { terminator, ...overrides }: LabOptions["agentConfig"] = {}): string {
  const folder = paths(plan).of(host.name);
  return stringify({
    name: host.name,
    registry: {
      addresses: [`https://${plan.registry.address}:${LAB.controlPort}`],
      ca: join(folder, "ca.pem"),
      certificate: join(folder, "agent.crt"),
      key: join(folder, "agent.key"),
    },
    stateDir: paths(plan).dataOf(host.name),
    runtimeDir: folder,
    groundDir: groundFolder(plan, host),
    gate: { lanes: { ip: true, ipcert: true, roaming: plan.roaming.includes(host.name) } },
    terminator: {
      kind: plan.terminator,
      certificate: join(folder, "service.crt"),
      application: applicationSocket(plan, host),
      masterSocket: masterSocket(plan, host),
      maxConnections: 500,
      ...terminator,
    },
    ...overrides,
  });
}
