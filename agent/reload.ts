import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { CertificateLife } from "../lib/certificate-life.ts";
import type { AgentConfig } from "./config.ts";
import { identityEnd, identityOf } from "./feed/identity.ts";
import { serviceFiles, shownFile, shownLife } from "./service-certificate.ts";

/** What a running agent cannot change: who it is, and where it keeps what it holds. */
const FIXED = ["name", "zone", "stateDir", "runtimeDir", "groundDir"] as const;

/** Which one it is, and where it listens to the agent: the one before would be told of nothing any more. */
const FIXED_OF_TERMINATOR = ["kind", "masterSocket"] as const;

/** The new configuration is refused; the old one stays in force whole. */
export class ReloadRefusedError extends Error {}

/** What a new configuration changes. */
export interface ReloadPlan {
  readonly gate: boolean;
  /** The terminator is to be configured anew: its settings changed, or the service's certificate. */
  readonly terminator: boolean;
  /** The ceiling, or the root that CAs are believed by. */
  readonly limits: boolean;
  /** The feed is to be connected anew: addresses, files or their contents changed, or the ceiling that a session follows. */
  readonly feed: boolean;
}

/** A configuration with what its files held when it was read. */
export interface Loaded {
  readonly config: AgentConfig;
  /** Digest over the contents of the pinned root, the certificate and the key. */
  readonly credentials: string;
  /** Digest over the service's certificate and key; empty where no terminator of ours serves them. */
  readonly service: string;
  /** PEM text of the pinned root. */
  readonly pinned: string;
  /** End of the agent's own certificate, integer ms. */
  readonly notAfter: number;
  /** Of the service's certificate as clients are shown it; null where nothing of ours shows one. */
  readonly serviceLife: CertificateLife | null;
}

/** @throws the file system's error when a file cannot be read */
export function loaded(config: AgentConfig): Loaded {
  const { ca, certificate, key } = config.registry;
  const pinned = readFileSync(ca, "utf8");
  const files = serviceFiles(config);
  const service = files === null ? [] : [shownFile(files), files.key];
  const notAfter = identityEnd(identityOf(config));
  const serviceLife = files === null ? null : shownLife(files);
  return { pinned, notAfter, serviceLife, config, credentials: digestOf([ca, certificate, key]), service: digestOf(service) };
}

const digestOf = (files: readonly string[]): string => files.map((file) => hash("sha256", readFileSync(file))).join(" ");

/** @throws ReloadRefusedError naming what cannot change while the agent runs */
export function reloadPlan(old: Loaded, next: Loaded): ReloadPlan {
  const fixed = FIXED.filter((key) => old.config[key] !== next.config[key]);
  if (fixed.length > 0) {
    const said = fixed.map((key) => `${key} from '${old.config[key]}' to '${next.config[key]}'`).join(", ");
    throw new ReloadRefusedError(`Cannot change ${said} while the agent runs: restart it`);
  }
  const other = FIXED_OF_TERMINATOR.filter((key) => old.config.terminator[key] !== next.config.terminator[key]);
  if (other.length > 0) {
    const said = other
      .map((key) => `terminator.${key} from '${old.config.terminator[key]}' to '${next.config.terminator[key]}'`)
      .join(", ");
    throw new ReloadRefusedError(`Cannot change ${said} while the agent runs: restart it`);
  }
  const differs = (key: "gate" | "terminator" | "ceiling" | "registry"): boolean => !isDeepStrictEqual(old.config[key], next.config[key]);
  const limits = differs("ceiling") || old.pinned !== next.pinned;
  const terminator = differs("terminator") || old.pinned !== next.pinned || old.service !== next.service;
  return { gate: differs("gate"), terminator, limits, feed: limits || differs("registry") || old.credentials !== next.credentials };
}
