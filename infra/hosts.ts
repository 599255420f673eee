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

/** agent.yaml of a host, whoever makes the host. @throws ConfigError with every problem, as the agent itself would */
export function agentYaml(input: z.input<typeof agentConfigSchema>, later: KnownLater = new Map()): string {
  const text = HEAD + configText(input);
  parseAgentConfig(`agent.yaml of ${input.name}`, withExamples(text, later));
  return text;
}

/** registry.yaml of a host. @throws ConfigError with every problem, as the registry itself would */
export function registryYaml(input: z.input<typeof registryConfigSchema>, later: KnownLater = new Map()): string {
  const text = HEAD + configText(input);
  parseRegistryConfig(`registry.yaml of ${input.name}`, withExamples(text, later));
  return text;
}

function withExamples(text: string, later: KnownLater): string {
  let known = text;
  for (const [token, example] of later) known = known.replaceAll(token, example);
  return known;
}
