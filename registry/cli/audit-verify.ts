import type { AuditVerdict } from "../../lib/admin/api.ts";
import { NotTrueError, parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";

export const help = `Walks through the audit log and checks the chain of hashes; exit code 1 when it is broken

Usage: entityos audit verify

${CONTROL_HELP}

Examples
  entityos audit verify && echo sound
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, CONTROL_OPTIONS);
  const verdict = await (await openControl(values)).send<AuditVerdict>("POST", "/audit/verify");
  if (values.json) printJson(io, verdict);
  else if (verdict.ok) io.out(`sound: ${verdict.entries} entries\n`);
  if (!verdict.ok) throw new NotTrueError(`audit_broken: entry ${verdict.brokenAt} does not fit the one before it, or was changed.`);
}
