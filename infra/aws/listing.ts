import { hash } from "node:crypto";
import type { Fields, Json, StackJson, Synthesis } from "./synthesis.ts";

/** Where packages lie depends on the folder that synthesis runs in. */
const PACKAGE = /(?:\.\.\/)*[^"\\ ]*?([^/"\\ ]+\.deb)/g;

/**
 * Everything that Terraform is asked for, one thing a line, as pages that change only when it does: backend, providers, data, resources
 * and outputs. User data stands as its SHA-256.
 */
export function listing({ stacks }: Synthesis): string {
  const lines = [...stacks].flatMap(([part, stack]) => linesOf(stack).map((line) => `${part} ${line}\n`));
  return lines.sort().join("");
}

function linesOf({ terraform, provider = {}, data = {}, resource, output = {} }: StackJson): string[] {
  const each = (kind: string, all: { readonly [type: string]: { readonly [id: string]: Fields } }) =>
    Object.entries(all).flatMap(([type, ids]) => Object.entries(ids).map(([id, fields]) => `${kind}${type}.${id} ${written(fields)}`));
  return [
    `terraform ${written(terraform)}`,
    ...Object.entries(provider).map(([name, fields]) => `provider.${name} ${written(fields)}`),
    ...each("data.", data),
    ...each("", resource),
    ...Object.entries(output).map(([name, { value }]) => `output.${name} ${written(value)}`),
  ];
}

const written = (value: Json): string =>
  JSON.stringify(value, (key, inner: unknown) => {
    if (key === "//") return undefined;
    if (typeof inner !== "string") return inner;
    const text = inner.replaceAll(PACKAGE, "dist/$1");
    return key === "user_data" ? `SHA-256 ${hash("sha256", text)}` : text;
  });
