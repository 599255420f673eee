import type { Code } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
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
  const selector = (words[0] ?? "").toUpperCase().replaceAll("-", "");
  const code = await (await openControl(values)).send<Code>("DELETE", `/codes/${encodeURIComponent(selector)}`);
  if (values.json) return printJson(io, code);
  io.out(`withdrawn: ${code.selector}, used ${code.used} of ${code.uses}\n`);
}
