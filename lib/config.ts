import { readFileSync } from "node:fs";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { parsePrefix } from "./ip.ts";
import { plainWords } from "./words.ts";

/** A configuration that cannot be used: every problem of it at once, each with its path. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(file: string, problems: readonly string[], cause?: unknown) {
    super(`Cannot use ${file}:\n${problems.map((problem) => `  ${problem}`).join("\n")}`, { cause });
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/**
 * File → one deeply frozen object. Largest file: 1 MiB.
 * @throws ConfigError with all problems, or that the file cannot be read
 */
export function loadConfig<S extends z.ZodType>(file: string, schema: S): z.output<S> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(file, [`the file cannot be read (${cause instanceof Error ? cause.message : String(cause)})`], cause);
  }
  return parseConfig(file, text, schema);
}

export function parseConfig<S extends z.ZodType>(file: string, text: string, schema: S): z.output<S> {
  if (text.length > 1 << 20) throw new ConfigError(file, ["the file is larger than 1 MiB"]);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 }) ?? {};
  } catch (cause) {
    throw new ConfigError(file, [cause instanceof Error ? cause.message : "not YAML"], cause);
  }
  const parsed = schema.safeParse(value, { error: plainWords });
  if (!parsed.success) {
    throw new ConfigError(
      file,
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "(whole file)"}: ${issue.message}`),
    );
  }
  return deepFreeze(parsed.data);
}

/** A configuration as text, for who writes the file of another program of ours: without aliases, which no program of ours reads. */
export const configText = (value: unknown): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });

/** Schema of a CIDR in canonical form, for configuration. */
export const cidrSchema = z.string().transform((text, context) => {
  try {
    return parsePrefix(text).text;
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : "not a prefix" });
    return z.NEVER;
  }
});

export const portSchema = z.int().min(1).max(65535);

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
