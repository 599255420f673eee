import { isIP } from "node:net";
import type { z } from "zod";
import { type AgentConfig, agentConfigSchema } from "../../agent/config.ts";
import { PATH } from "../../lib/service.ts";
import { type RegistryConfig, registryConfigSchema } from "../../registry/config.ts";
import { agentInput, mergeSettings, origin, registryInput, type Tree } from "./configurations.ts";
import type { Tolerant, TolerantHost } from "./form.ts";

/** Takes a problem of the settings, at its path. */
export type Tell = (path: readonly PropertyKey[], message: string) => void;

/** A host's configuration: as its program reads it, and as it is written, without what it leaves to defaults. */
export type Configured =
  | { readonly role: "agent"; readonly config: AgentConfig; readonly input: z.input<typeof agentConfigSchema> }
  | { readonly role: "registry"; readonly config: RegistryConfig; readonly input: z.input<typeof registryConfigSchema> };

/**
 * Each host's configuration, null where it cannot be made, and every problem of meaning. What one host's form hides, it hides of that
 * host alone.
 */
export function configurationsOf(settings: Tolerant, issue: Tell): (Configured | null)[] {
  const { hosts } = settings;
  const once = tellOnce(issue);
  const known = hosts.every((host) => host !== null && host.role !== null);
  const registries = hosts.filter((host) => host?.role === "registry");
  if (registries.length === 0 && known) issue(["hosts"], "one host has the role registry: here is none");
  if (registries.length > 1) issue(["hosts"], `one host has the role registry: here are ${registries.length}`);
  tellTwins(settings, issue);
  if (known) tellUnused(settings, issue);
  return hosts.map((host, index) => {
    if (host?.role === "registry") return registryOf(settings, host, index, once);
    // Whatever its role was to be, it has a part of agent.yaml.
    const isAgent = host?.role === "agent" || (host !== null && Object.keys(host.agent).length > 0);
    return isAgent ? agentOf(settings, host, index, registries[0] ?? null, once) : null;
  });
}

/** What hosts have in common is told of the first of them. */
function tellOnce(issue: Tell): Tell {
  const told = new Set<string>();
  return (path, message) => {
    const key = JSON.stringify([path, message]);
    if (!told.has(key)) issue(path, message);
    told.add(key);
  };
}

function tellTwins({ hosts, ssh }: Tolerant, issue: Tell): void {
  for (const key of ["name", "address"] as const) {
    const seen = new Set<string>();
    for (const [index, host] of hosts.entries()) {
      if (host?.[key] == null) continue;
      const where = key === "name" ? `${host.name}` : `${host.address} ${host.ssh.port ?? ssh.port}`;
      if (seen.has(where)) issue(["hosts", index, key], `${host[key]} is named twice`);
      seen.add(where);
    }
  }
}

/** Settings that no host has are a slip of the hand: what they say would be in force nowhere. */
function tellUnused({ agent, overlays, hosts }: Tolerant, issue: Tell): void {
  const agents = hosts.filter((host) => host?.role === "agent");
  if (agents.length === 0 && Object.keys(agent).length > 0) issue(["agent"], "no host has the role agent");
  if (agents.some((host) => host?.labels == null)) return;
  for (const [index, overlay] of overlays.entries()) {
    if (overlay !== null && !agents.some((host) => fits(overlay.labels, host?.labels ?? {})))
      issue(["overlays", index, "labels"], "no host with the role agent has all of these labels");
  }
}

function registryOf(settings: Tolerant, host: TolerantHost, index: number, issue: Tell): Configured | null {
  if (Object.keys(host.agent).length > 0) issue(["hosts", index, "agent"], "the registry's host has no agent: see registry");
  if ((host.service ?? []).length > 0) issue(["hosts", index, "service"], "the registry's host has no gate");
  const input = registryInput(settings.registry, host.address ?? "registry.invalid");
  const parsed = registryConfigSchema.safeParse(input);
  for (const { path, message } of parsed.error?.issues ?? []) issue(["registry", ...path], message);
  // The schema took it.
  return parsed.success ? { role: "registry", config: parsed.data, input: input as z.input<typeof registryConfigSchema> } : null;
}

function agentOf(settings: Tolerant, host: TolerantHost, index: number, registry: TolerantHost | null, issue: Tell): Configured | null {
  const overlays = settings.overlays.map((overlay) => (overlay !== null && fits(overlay.labels, host.labels ?? {}) ? overlay.agent : {}));
  const parts: readonly Tree[] = [settings.agent, ...overlays, host.agent];
  const places = [["agent"], ...overlays.map((_, at) => ["overlays", at, "agent"]), ["hosts", index, "agent"]];
  const control = registry?.address == null ? null : controlUrl(settings.registry, registry.address);
  const input = agentInput(mergeSettings(parts), { name: host.name ?? "unnamed", zone: host.zone, control });
  const parsed = agentConfigSchema.safeParse(input);
  const place = (path: readonly PropertyKey[]) => [...(places[origin(parts, path)] ?? ["hosts", index, "agent"]), ...path];
  for (const { path, message } of parsed.error?.issues ?? []) issue(place(path), message);
  if (!parsed.success) return null;
  const { terminator } = parsed.data;
  if (terminator.kind !== "none" && terminator.certificate === PATH.serviceCertificate && host.service?.length === 0)
    issue(["hosts", index, "service"], "the terminator needs a certificate: name what it is for");
  return { role: "agent", config: parsed.data, input: input as z.input<typeof agentConfigSchema> };
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
