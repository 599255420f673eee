import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { AgentConfig } from "./config.ts";

/** What a running agent cannot change: who it is, and where it keeps what it holds. */
const FIXED = ["name", "zone", "stateDir", "runtimeDir"] as const;

/** The new configuration is refused; the old one stays in force whole. */
export class ReloadRefusedError extends Error {}

/** What a new configuration changes. */
export interface ReloadPlan {
  readonly gate: boolean;
  readonly ceiling: boolean;
  /** The feed is to be connected anew: addresses, files or their contents changed, or the ceiling that a session follows. */
  readonly feed: boolean;
}

/** A configuration with what its files held when it was read. */
export interface Loaded {
  readonly config: AgentConfig;
  /** Digest over the contents of the pinned root, the certificate and the key. */
  readonly credentials: string;
}

/** @throws the file system's error when a file cannot be read */
export function loaded(config: AgentConfig): Loaded {
  const { ca, certificate, key } = config.registry;
  return { config, credentials: [ca, certificate, key].map((file) => hash("sha256", readFileSync(file))).join(" ") };
}

/** @throws ReloadRefusedError naming what cannot change while the agent runs */
export function reloadPlan(old: Loaded, next: Loaded): ReloadPlan {
  const fixed = FIXED.filter((key) => old.config[key] !== next.config[key]);
  if (fixed.length > 0) {
    const said = fixed.map((key) => `${key} from '${old.config[key]}' to '${next.config[key]}'`).join(", ");
    throw new ReloadRefusedError(`Cannot change ${said} while the agent runs: restart it`);
  }
  const differs = (key: "gate" | "ceiling" | "registry"): boolean => !isDeepStrictEqual(old.config[key], next.config[key]);
  const ceiling = differs("ceiling");
  return { gate: differs("gate"), ceiling, feed: ceiling || differs("registry") || old.credentials !== next.credentials };
}
