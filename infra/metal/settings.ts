import { isIP } from "node:net";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { type AgentConfig, agentConfigSchema } from "../../agent/config.ts";
import { loadConfig, parseConfig } from "../../lib/config.ts";
import { PATH } from "../../lib/service.ts";
import { type RegistryConfig, registryConfigSchema } from "../../registry/config.ts";
import { agentInput, mergeSettings, origin, registryInput, type Tree } from "./configurations.ts";
import { type Form, formSchema, type HostForm, type Tolerant, tolerantSchema } from "./form.ts";

/** How a host is reached. */
export interface Connection {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  /** File of the private key, from the settings' folder; null leaves it to the SSH agent. */
  readonly key: string | null;
  readonly hostKey: string;
}

interface HostBase {
  readonly connection: Connection;
  readonly labels: Readonly<Record<string, string>>;
}
export interface AgentHost extends HostBase {
  readonly role: "agent";
  readonly config: AgentConfig;
  /** The configuration as it is written: without what it leaves to defaults. */
  readonly input: z.input<typeof agentConfigSchema>;
  readonly service: readonly string[];
}
export interface RegistryHost extends HostBase {
  readonly role: "registry";
  readonly config: RegistryConfig;
  readonly input: z.input<typeof registryConfigSchema>;
}
export type Host = AgentHost | RegistryHost;

export interface MetalSettings {
  readonly environment: string;
  readonly backend: Form["backend"];
  /** Folder of packages, from the settings' folder. */
  readonly packages: string;
  readonly width: number;
  readonly registry: RegistryHost;
  /** In the order in which they are deployed. */
  readonly agents: readonly AgentHost[];
}

/** A file → the settings; every problem of form and of meaning together. */
export const metalSchema = z.unknown().transform((value, context): MetalSettings => {
  const issue = (path: readonly PropertyKey[], message: string) => context.addIssue({ code: "custom", path: [...path], message });
  const formed = formSchema.safeParse(value);
  for (const { path, message } of formed.error?.issues ?? []) issue(path, message);
  const read = tolerantSchema.safeParse(value);
  const hosts = read.success ? hostsOf(read.data, issue) : [];
  const [registry] = hosts.filter((host) => host?.role === "registry");
  if (!formed.success || registry === undefined || context.issues.length > 0) return z.NEVER;
  const { environment, backend, packages, rolling } = formed.data;
  const agents = hosts.filter((host) => host?.role === "agent");
  return { environment, backend, packages, width: rolling.width, registry, agents };
});

type Tell = (path: readonly PropertyKey[], message: string) => void;

function hostsOf(settings: Tolerant, issue: Tell): (Host | null)[] {
  const { hosts } = settings;
  const [registry, ...more] = hosts.filter((host) => host?.role === "registry");
  if (registry === undefined && !hosts.includes(null)) issue(["hosts"], "one host has the role registry: here is none");
  if (more.length > 0) issue(["hosts"], `one host has the role registry: here are ${more.length + 1}`);
  for (const key of ["name", "address"] as const) {
    const seen = new Set<string>();
    for (const [index, host] of hosts.entries()) {
      const where = key === "name" ? host?.name : host && `${host.address} ${host.ssh.port ?? settings.ssh.port}`;
      if (where == null) continue;
      if (seen.has(where)) issue(["hosts", index, key], `${host?.[key]} is named twice`);
      seen.add(where);
    }
  }
  const told = new Set<string>();
  const once: Tell = (path, message) => {
    const key = JSON.stringify([path, message]);
    if (!told.has(key)) issue(path, message);
    told.add(key);
  };
  return hosts.map((host, index) => {
    if (host === null) return null;
    return host.role === "registry" ? registryHost(settings, host, index, once) : agentHost(settings, host, index, registry ?? null, once);
  });
}

function connectionOf({ name, address, ssh }: HostForm, common: Tolerant["ssh"]): Connection {
  const { user = common.user, port = common.port, key = common.key ?? null, hostKey } = ssh;
  return { name, address, port, user, key, hostKey };
}

function registryHost(settings: Tolerant, host: HostForm, index: number, issue: Tell): RegistryHost | null {
  if (Object.keys(host.agent).length > 0) issue(["hosts", index, "agent"], "the registry's host has no agent: see registry");
  if (host.service.length > 0) issue(["hosts", index, "service"], "the registry's host has no gate");
  const input = registryInput(settings.registry, host.address);
  const parsed = registryConfigSchema.safeParse(input);
  for (const { path, message } of parsed.error?.issues ?? []) issue(["registry", ...path], message);
  if (!parsed.success) return null;
  const connection = connectionOf(host, settings.ssh);
  return { role: "registry", connection, labels: host.labels, config: parsed.data, input: input as RegistryHost["input"] };
}

function agentHost(settings: Tolerant, host: HostForm, index: number, registry: HostForm | null, issue: Tell): AgentHost | null {
  const overlays = settings.overlays.map((overlay) => (overlay !== null && fits(overlay.labels, host.labels) ? overlay.agent : {}));
  const parts: readonly Tree[] = [settings.agent, ...overlays, host.agent];
  const places = [["agent"], ...overlays.map((_, at) => ["overlays", at, "agent"]), ["hosts", index, "agent"]];
  const control = registry === null ? null : controlUrl(settings.registry, registry.address);
  const input = agentInput(mergeSettings(parts), { name: host.name, zone: host.zone, control });
  const parsed = agentConfigSchema.safeParse(input);
  const place = (path: readonly PropertyKey[]) => [...(places[origin(parts, path)] ?? ["hosts", index, "agent"]), ...path];
  for (const { path, message } of parsed.error?.issues ?? []) issue(place(path), message);
  if (!parsed.success) return null;
  const { terminator } = parsed.data;
  if (terminator.kind !== "none" && terminator.certificate === PATH.serviceCertificate && host.service.length === 0)
    issue(["hosts", index, "service"], "the terminator needs a certificate: name what it is for");
  return {
    role: "agent",
    connection: connectionOf(host, settings.ssh),
    labels: host.labels,
    config: parsed.data,
    // The schema took it.
    input: input as AgentHost["input"],
    service: [...host.service],
  };
}

/** Where agents find control; null while its configuration is wrong, which is told by itself. */
function controlUrl(told: Tree, address: string): string | null {
  const parsed = registryConfigSchema.safeParse(registryInput(told, address));
  if (!parsed.success) return null;
  const { names, port } = parsed.data.control;
  const [name = address] = names;
  return `https://${isIP(name) === 6 ? `[${name}]` : name}:${port}`;
}

const fits = (wanted: Readonly<Record<string, string>>, has: Readonly<Record<string, string>>): boolean =>
  Object.entries(wanted).every(([label, value]) => has[label] === value);

/** @throws ConfigError with every problem of the file */
export const loadMetal = (file: string): MetalSettings => loadConfig(file, metalSchema);
export const parseMetal = (file: string, text: string): MetalSettings => parseConfig(file, text, metalSchema);

/** A path of the settings, as an absolute one; ~/ is the home of whoever deploys. */
export const pathFrom = (settingsFile: string, path: string): string =>
  path.startsWith("~/") ? join(homedir(), path.slice(2)) : resolve(dirname(settingsFile), path);
