import type { EpochBegun } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";

export const help = `Begins a new epoch: every agent takes what Storage holds now, whatever it held before

For a registry that was put back from a copy. Until then agents that hold more keep what stands, and get no changes.
Devices that were revoked since the copy are live in it: revoke them again first.

Usage: entityos epoch begin

${CONTROL_HELP}

Examples
  entityos agent list --json | jq -r '.items[] | select(.feed.phase == "ahead") | .name'
  entityos epoch begin
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, CONTROL_OPTIONS);
  const begun = await (await openControl(values)).send<EpochBegun>("POST", "/epochs");
  if (values.json) return printJson(io, begun);
  io.out(`epoch ${begun.epoch} began at revision ${begun.revision}; before it was ${begun.previous}\n`);
  io.out(lostText(begun));
}

function lostText({ lost, ahead }: EpochBegun): string {
  if (ahead.length === 0) return "nothing lost: no connected agent held more than Storage\n";
  const agents = `${ahead.length} ${ahead.length === 1 ? "agent" : "agents"} held more than Storage`;
  if (lost === null) return `${agents}: what differed is lost\n`;
  return `lost: revisions ${lost.from} to ${lost.to} (${agents}): what was registered in them is out, what was revoked in them is in again\n`;
}
