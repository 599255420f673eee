import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AwsSettings } from "./form.ts";

/** Every stack that an environment may have, in the order in which they are deployed. */
export const PARTS = ["network", "pki", "database", "registry", "restricted", "dns", "alarms"] as const;

/** A part of Terraform's JSON. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type Fields = { readonly [key: string]: Json };

/** A stack as Terraform reads it. */
export interface StackJson {
  readonly provider?: { readonly [name: string]: Json };
  readonly terraform: { readonly backend: { readonly [kind: string]: Fields }; readonly required_providers: Fields };
  readonly resource: { readonly [type: string]: { readonly [id: string]: Fields } };
  readonly data?: { readonly [type: string]: { readonly [id: string]: Fields } };
  readonly output?: { readonly [name: string]: { readonly value: Json } };
}

/** What was synthesised of one environment. */
export interface Synthesis {
  readonly settings: AwsSettings;
  /** By the part's name: network, pki, … */
  readonly stacks: ReadonlyMap<string, StackJson>;
}

/** A resource, with where it is. */
export interface Resource {
  readonly part: string;
  readonly type: string;
  readonly id: string;
  readonly fields: Fields;
}

/** Reads what cdktf wrote. @param outdir its folder @param parts of the environment that were written: what else is in the folder is old */
export function readSynthesis(outdir: string, settings: AwsSettings, parts: readonly string[]): Synthesis {
  const read = (part: string) => JSON.parse(readFileSync(fileOf(outdir, settings.environment, part), "utf8")) as StackJson;
  return { settings, stacks: new Map([...parts].sort().map((part) => [part, read(part)])) };
}

/**
 * Takes away what an earlier synthesis wrote of an environment and this one did not, so that nobody deploys it by its folder. What
 * Terraform keeps beside it stays.
 */
export function removeStale(outdir: string, environment: string, parts: readonly string[]): void {
  for (const part of PARTS) if (!parts.includes(part)) rmSync(fileOf(outdir, environment, part), { force: true });
}

const fileOf = (outdir: string, environment: string, part: string): string =>
  join(outdir, "stacks", `${environment}-${part}`, "cdk.tf.json");

export function resourcesOf({ stacks }: Synthesis, ...types: readonly string[]): Resource[] {
  return [...stacks].flatMap(([part, { resource }]) =>
    Object.entries(resource).flatMap(([type, all]) =>
      types.length === 0 || types.includes(type) ? Object.entries(all).map(([id, fields]) => ({ part, type, id, fields })) : [],
    ),
  );
}

/** "aws_vpc.vpc" for "${aws_vpc.vpc.id}"; null for what is no reference alone. */
export const referred = (value: Json | undefined): string | null =>
  /^\$\{(?:data\.)?([\w-]+\.[\w.-]+?)\.\w+\}$/.exec(String(value))?.[1] ?? null;

const REFERENCE = /\b(?:aws|tls)_[a-z0-9_]+\.[A-Za-z0-9_.-]+/g;
const OUTPUT = /data\.terraform_remote_state\.[\w-]+\.outputs\.([\w-]+)/g;

/**
 * References inside a value, "TYPE.ID.ATTRIBUTE", those of other stacks followed to what they stand for there.
 */
export function references(synthesis: Synthesis, value: Json | undefined): string[] {
  const text = JSON.stringify(value ?? null);
  const own = [...text.matchAll(REFERENCE)].map(([reference]) => reference);
  const others = [...text.matchAll(OUTPUT)].flatMap(([, name = ""]) => references(synthesis, outputs(synthesis).get(name)));
  return [...new Set([...own, ...others])];
}

const outputs = ({ stacks }: Synthesis): Map<string, Json> =>
  new Map([...stacks.values()].flatMap(({ output = {} }) => Object.entries(output).map(([name, { value }]) => [name, value] as const)));

/** Fields of a block that is written as one or as a list. */
export const block = (value: Json | undefined): Fields => {
  const one: Json | undefined = Array.isArray(value) ? value[0] : value;
  return typeof one === "object" && one !== null && !Array.isArray(one) ? (one as Fields) : {};
};
export const list = (value: Json | undefined): readonly Json[] =>
  Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
