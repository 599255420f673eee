import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";

export const help = `Rotates the device CA: makes the next one, which signs once every live gate has it

The one before leaves by itself, after its last certificate ended. Needs the root's key in the registry's pki folder until this returns.
A host that never comes back holds the rotation up: revoke its certificate (entityos cert revoke).

Usage: entityos ca rotate

${CONTROL_HELP}

Examples
  entityos ca rotate && entityos ca show
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, CONTROL_OPTIONS);
  const begun = await (await openControl(values)).send<{ readonly next: string }>("POST", "/authorities/rotate");
  if (values.json) return printJson(io, begun);
  io.out(`made: ${begun.next}; it signs once every live gate has it (entityos ca show)\n`);
}
