import { createHash } from "node:crypto";
import type { AgentConfig } from "../../agent/config.ts";
import { PATH } from "../../lib/service.ts";
import { agentYaml, registryYaml } from "../hosts.ts";
import { type PackageFile, type PackageFolder, type PackageName, packageFor } from "./packages.ts";
import type { Host } from "./settings.ts";

/** What a host is to be, as a value. */
export interface Desired {
  readonly packages: readonly PackageFile[];
  /** Debian's own packages that have to be there. */
  readonly system: readonly string[];
  /** Configuration files: path and text. */
  readonly files: Readonly<Record<string, string>>;
  /** Units that are to be enabled and active; the first one is the service that the others follow. */
  readonly units: readonly [string, ...string[]];
  /** What its agent is enrolled for; null is no agent. */
  readonly zone: "restricted" | "open" | null;
  /** Names in the certificate of the service behind the gate; empty is no certificate of ours. */
  readonly service: readonly string[];
}

/** The one that runs what ends TLS: it is skipped where the agent configures another. */
const TERMINATOR_UNITS: Readonly<Record<AgentConfig["terminator"]["kind"], readonly string[]>> = {
  none: [],
  haproxy: ["entityos-terminator.service"],
  nginx: ["entityos-terminator-nginx.service"],
};

/** Debian's packages for what ends TLS. In front of nginx the agent ends connections with ss (iproute2) and conntrack. */
const SYSTEM: Readonly<Record<AgentConfig["terminator"]["kind"], readonly string[]>> = {
  none: [],
  haproxy: ["haproxy"],
  nginx: ["nginx", "conntrack", "iproute2"],
};

/**
 * @param architecture Debian's name for the host's
 * @throws Error when the packages folder has nothing for it
 */
export function desiredOf(host: Host, folder: PackageFolder, architecture: string): Desired {
  const file = (name: PackageName): PackageFile => {
    const found = packageFor(folder, name, architecture);
    if (found === undefined) throw new Error(`the packages folder has no ${name} for ${architecture}`);
    return found;
  };
  const common = [file("entityos-node"), file("entityos-cli")];
  if (host.role === "registry") {
    return {
      packages: [...common, file("entityos-registry")],
      system: [],
      files: { [PATH.registryConfig]: registryYaml(host.input) },
      units: ["entityos-registry.service"],
      zone: null,
      service: [],
    };
  }
  const { kind } = host.config.terminator;
  return {
    packages: [...common, file("entityos-agent")],
    system: SYSTEM[kind],
    files: { [PATH.agentConfig]: agentYaml(host.input) },
    units: ["entityos-agent.service", "entityos-gate.service", "entityos-floor.service", ...TERMINATOR_UNITS[kind]],
    zone: host.config.zone,
    service: host.service,
  };
}

/** What a plan shows of it: a line for each part, so that the part that changes is seen. No secret is among them. */
export function summaryOf({ packages, system, files, units, zone, service }: Desired): Readonly<Record<string, string>> {
  return Object.fromEntries([
    ...packages.map(({ name, version, sha256 }) => [name, `${version} sha256:${sha256.slice(0, 16)}`]),
    ...Object.entries(files).map(([path, text]) => [path, `sha256:${sha256Of(text).slice(0, 16)}`]),
    ["needs", system.join(" ")],
    ["units", units.join(" ")],
    ["zone", zone ?? "none"],
    ["service", service.join(" ")],
  ]);
}

/** Of a summary: what is deployed is what was planned. */
export const digestOf = (summary: Readonly<Record<string, string>>): string => sha256Of(JSON.stringify(Object.entries(summary).sort()));

export const sha256Of = (text: string): string => createHash("sha256").update(text).digest("hex");
