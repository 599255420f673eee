import type { z } from "zod";
import { type agentConfigSchema, parseAgentConfig } from "../agent/config.ts";
import { configText } from "../lib/config.ts";
import { parseRegistryConfig, type registryConfigSchema } from "../registry/config.ts";

/**
 * Texts that are known only when Terraform runs, each with an example that the configuration is checked with in its place.
 * They are whole strings, or parts of one.
 */
export type KnownLater = ReadonlyMap<string, string>;

const HEAD = "# Written by infra/: what is changed here is lost when the host is made anew.\n";

/**
 * agent.yaml of a host: the same bytes for the same configuration, whoever makes the host.
 * @throws ConfigError with every problem, as the agent itself would
 */
export function agentYaml(input: z.input<typeof agentConfigSchema>, later: KnownLater = new Map()): string {
  const told = { zone: "restricted", ...input };
  const config = parseAgentConfig(`agent.yaml of ${input.name}`, withExamples(configText(told), later));
  return HEAD + configText(inOrderOf(told, config));
}

/** registry.yaml of a host, likewise. @throws ConfigError with every problem, as the registry itself would */
export function registryYaml(input: z.input<typeof registryConfigSchema>, later: KnownLater = new Map()): string {
  const config = parseRegistryConfig(`registry.yaml of ${input.name}`, withExamples(configText(input), later));
  return HEAD + configText(inOrderOf(input, config));
}

/** What was told, with its keys in the order of the schema that took it; nothing is added. */
function inOrderOf(told: unknown, config: unknown): unknown {
  if (!isTree(told) || !isTree(config)) return told;
  const keys = Object.keys({ ...config, ...told }).filter((key) => told[key] !== undefined);
  return Object.fromEntries(keys.map((key) => [key, inOrderOf(told[key], config[key])]));
}

const isTree = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function withExamples(text: string, later: KnownLater): string {
  let known = text;
  for (const [token, example] of later) known = known.replaceAll(token, example);
  return known;
}
