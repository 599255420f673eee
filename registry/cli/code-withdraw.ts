import type { Code } from "../../lib/admin/api.ts";
import { inAlphabet, SELECTOR_LENGTH } from "../../lib/registration/code.ts";
import { parseCommandLine, UsageError } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";

export const help = `Withdraws a security code: no further device can enrol with it; those that did stay

Usage: entityos code withdraw SELECTOR

SELECTOR is the first 8 characters of the code without hyphens (entityos code list).

${CONTROL_HELP}

Examples
  entityos code withdraw 7K3MX9QA
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values, words } = parseCommandLine(args, CONTROL_OPTIONS, ["SELECTOR"]);
  const selector = inAlphabet(words[0] ?? "");
  // What is longer may be a whole code, which control must not see.
  if (selector.length > SELECTOR_LENGTH)
    throw new UsageError(`SELECTOR is the first ${SELECTOR_LENGTH} characters of a code, and no more.`);
  const code = await (await openControl(values)).send<Code>("DELETE", `/codes/${encodeURIComponent(selector)}`);
  if (values.json) return printJson(io, code);
  io.out(`withdrawn: ${code.selector}, used ${code.used} of ${code.uses}\n`);
}
