import { CA_KINDS } from "../../lib/admin/api.ts";
import { parseCommandLine, UsageError } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";

export const help = `Rotates a CA: makes the next one, which signs once everybody who must know it does

  device           signs devices' certificates; every live gate takes it first
  infrastructure   signs servers, agents and operators; certificates of the one before go on until their ends
  root             signs those two; every live agent takes it first, cross-signed by the one before

The one before leaves by itself, after its last certificate ended. Needs the root's key in the registry's pki folder until this returns.
A host that never comes back holds the rotation up: revoke its certificate (entityos cert revoke), or take the next CA back (entityos ca
retire).

Usage: entityos ca rotate [--kind KIND]

Options
  --kind KIND      ${CA_KINDS.join(", ")} (default device)

${CONTROL_HELP}

Examples
  entityos ca rotate && entityos ca show
  entityos ca rotate --kind root
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, kind: { type: "string", default: "device" } });
  const kind = CA_KINDS.find((known) => known === values.kind);
  if (kind === undefined) throw new UsageError(`--kind is one of ${CA_KINDS.join(", ")}: '${values.kind}' is not.`);
  const begun = await (await openControl(values)).send<{ readonly next: string }>("POST", "/authorities/rotate", { kind });
  if (values.json) return printJson(io, begun);
  io.out(`made: ${begun.next}; it signs once everybody who must know it does (entityos ca show)\n`);
}
