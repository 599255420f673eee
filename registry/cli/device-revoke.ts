import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { count } from "./print.ts";

export const help = `Revokes a device: its grants end, its open connections are cut; an address that another device holds stays in

Usage: entityos device revoke DEVICE

${CONTROL_HELP}

Examples
  entityos device revoke 0198f2c1-7d1e-7000-8000-0123456789ab
`;

interface Revoked {
  readonly device: string;
  readonly ended: number;
  readonly revision: number;
}

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values, words } = parseCommandLine(args, CONTROL_OPTIONS, ["DEVICE"]);
  const revoked = await (await openControl(values)).send<Revoked>("POST", `/devices/${encodeURIComponent(words[0] ?? "")}/revoke`);
  if (values.json) return printJson(io, revoked);
  io.out(`revoked: ${revoked.device}, ${count(revoked.ended, "grant")} ended, in force with revision ${revoked.revision}\n`);
}
