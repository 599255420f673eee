import type { Json, StackJson, Synthesis } from "../synthesis.ts";

const EXPRESSION = /\$\{([^{}]*)\}/g;
const REFERENCE = /^(?:data\.)?(?:aws|tls)_[a-z0-9_]+\.[\w-]+\.\w+$/;
const OUTPUT = /^data\.terraform_remote_state\.([\w-]+)\.outputs\.([\w-]+)$/;
/** Functions of Terraform's that are used, with all that they are given: texts and numbers, and one reference at most. */
const CALL = /^(filesha256|cidrsubnet|cidrhost|replace|element)\((?:("[^"\\$%]*")|([\w.-]+))((?:, (?:"[^"\\$%]*"|\d+))*)\)$/;
const ACCOUNT = "data.aws_caller_identity.account.account_id";
/** Outputs that name outputs. */
const MAX_STEPS = 3;

/**
 * A text with every expression in it said in full: "${PART TYPE.ID.ATTRIBUTE}", whichever state it is read from, and "${account}" for the
 * account that is deployed to. What is not on the list of readable expressions becomes "${?}".
 */
export function meaning(synthesis: Synthesis, part: string, text: string): string {
  return text.replaceAll(EXPRESSION, (_, expression: string) => `\${${meant(synthesis, part, expression, 0) ?? "?"}}`);
}

/** Expressions inside a value that cannot be read here, or refer to what is not there. */
export function unreadable(synthesis: Synthesis, part: string, value: Json): string[] {
  return textsIn(value).flatMap((text) => {
    const rest = text.replaceAll(EXPRESSION, (whole, expression: string) => (meant(synthesis, part, expression, 0) === null ? whole : ""));
    return [...rest.matchAll(/[$%]\{.{0,200}/g)].map(([found]) => found);
  });
}

/** Every text inside a value, keys too. */
function textsIn(value: Json): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === "//" ? [] : [...(Array.isArray(value) ? [] : [key]), ...textsIn(inner)]));
}

function meant(synthesis: Synthesis, part: string, expression: string, steps: number): string | null {
  if (expression === ACCOUNT) return "account";
  const stack = synthesis.stacks.get(part);
  if (stack === undefined) return null;
  if (REFERENCE.test(expression)) return isThere(stack, expression) ? `${part} ${expression}` : null;
  const [, state, name] = OUTPUT.exec(expression) ?? [];
  if (state !== undefined && name !== undefined) return steps < MAX_STEPS ? elsewhere(synthesis, stack, state, name, steps) : null;
  const [, call, text, reference, rest = ""] = CALL.exec(expression) ?? [];
  if (call === undefined) return null;
  const first = text ?? meant(synthesis, part, reference ?? "", steps);
  return first === null ? null : `${call}(${first}${rest})`;
}

function isThere({ resource, data = {} }: StackJson, reference: string): boolean {
  const [type = "", id = ""] = reference.replace(/^data\./, "").split(".");
  return (reference.startsWith("data.") ? data : resource)[type]?.[id] !== undefined;
}

/** An output of the stack whose state is read. */
function elsewhere(synthesis: Synthesis, { data = {} }: StackJson, state: string, name: string, steps: number): string | null {
  const part = partOf(synthesis, data.terraform_remote_state?.[state]?.config);
  const value = part === null ? undefined : synthesis.stacks.get(part)?.output?.[name]?.value;
  const [, expression] = typeof value === "string" ? (/^\$\{([^{}]*)\}$/.exec(value) ?? []) : [];
  return part === null || expression === undefined ? null : meant(synthesis, part, expression, steps + 1);
}

/** The stack whose state it is; null for any other state. */
export function partOf({ settings, stacks }: Synthesis, config: Json | undefined): string | null {
  const key = typeof config === "object" && config !== null && "key" in config ? String(config.key) : "";
  return [...stacks.keys()].find((part) => key === stateKey(settings.environment, part)) ?? null;
}

export const stateKey = (environment: string, part: string): string => `entityos-gate/${environment}/${part}.tfstate`;
