import type { Grant } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, PAGE_HELP, PAGE_OPTIONS, printPage } from "./control.ts";
import type { Io } from "./io.ts";
import { endText, table, timeText } from "./print.ts";

export const help = `Lists grants: which device holds which prefix until when

Usage: entityos grant list

${PAGE_HELP}

${CONTROL_HELP}

Examples
  entityos grant list
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, ...PAGE_OPTIONS });
  printPage(io, await (await openControl(values)).page<Grant>("/grants", values), values.json, grantTable);
}

export const grantTable = (grants: readonly Grant[]): string =>
  table(
    ["PREFIX", "LANE", "DEVICE", "EXPIRES", "ENDED", "SHARED"],
    grants.map((grant) => [
      grant.prefix,
      grant.lane,
      grant.device,
      timeText(grant.expiresAt),
      endText(grant),
      grant.crowded ? "by many devices" : "-",
    ]),
  );
