import type { Device } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, PAGE_HELP, PAGE_OPTIONS, printPage } from "./control.ts";
import type { Io } from "./io.ts";
import { endText, table, timeText } from "./print.ts";

export const help = `Lists devices: what a code enrolled

Usage: entityos device list

${PAGE_HELP}

${CONTROL_HELP}

Examples
  entityos device list
  entityos device list --json | jq -r '.items[] | select(.endedAt == null) | .id'
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, ...PAGE_OPTIONS });
  const page = await (await openControl(values)).page<Device>("/devices", values);
  printPage(io, page, values.json, (devices) =>
    table(
      ["DEVICE", "SUBJECT", "PROFILE", "PATTERN", "ENROLLED", "ENDED"],
      devices.map((device) => [device.id, device.subject, device.profile, device.pattern, timeText(device.enrolledAt), endText(device)]),
    ),
  );
}
