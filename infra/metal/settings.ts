import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import type { AgentConfig, agentConfigSchema } from "../../agent/config.ts";
import { loadConfig, parseConfig } from "../../lib/config.ts";
import type { RegistryConfig, registryConfigSchema } from "../../registry/config.ts";
import { configurationsOf, type Tell } from "./configured.ts";
import { type Form, formSchema, type HostForm, tolerantSchema } from "./form.ts";

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
  /** Hosts whose registry may be purged, with Storage and the CAs' keys. */
  readonly purge: readonly string[];
  readonly registry: RegistryHost;
  /** In the order in which they are deployed. */
  readonly agents: readonly AgentHost[];
}

/** A file → the settings; every problem of form and of meaning together. */
export const metalSchema = z.unknown().transform((value, context): MetalSettings => {
  const issue: Tell = (path, message) => context.addIssue({ code: "custom", path: [...path], message });
  const formed = formSchema.safeParse(value);
  for (const { path, message } of formed.error?.issues ?? []) issue(path, message);
  const read = tolerantSchema.safeParse(value);
  const configured = read.success ? configurationsOf(read.data, issue) : [];
  if (!formed.success || context.issues.length > 0) return z.NEVER;
  const { environment, backend, packages, rolling, purge, ssh } = formed.data;
  const hosts = formed.data.hosts.map((form, index): Host | null => {
    const made = configured[index] ?? null;
    const base = { connection: connectionOf(form, ssh), labels: form.labels };
    if (made?.role === "agent") return { ...base, ...made, service: form.service };
    return made === null ? null : { ...base, ...made };
  });
  const [registry] = hosts.filter((host) => host?.role === "registry");
  if (registry === undefined) return z.NEVER;
  return { environment, backend, packages, width: rolling.width, purge, registry, agents: hosts.filter((host) => host?.role === "agent") };
});

function connectionOf({ name, address, ssh }: HostForm, common: Form["ssh"]): Connection {
  const { user = common.user, port = common.port, key = common.key ?? null, hostKey } = ssh;
  return { name, address, port, user, key, hostKey };
}

/** @throws ConfigError with every problem of the file */
export const loadMetal = (file: string): MetalSettings => loadConfig(file, metalSchema);
export const parseMetal = (file: string, text: string): MetalSettings => parseConfig(file, text, metalSchema);

/** A path of the settings, as an absolute one; ~/ is the home of whoever deploys. */
export const pathFrom = (settingsFile: string, path: string): string =>
  path.startsWith("~/") ? join(homedir(), path.slice(2)) : resolve(dirname(settingsFile), path);
