import type { DeviceDetail } from "../../lib/admin/api.ts";
import { certificateTable } from "./cert-list.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import { grantTable } from "./grant-list.ts";
import type { Io } from "./io.ts";
import { endText, facts, timeText } from "./print.ts";

export const help = `Shows one device, its grants and its certificates

Usage: entityos device show DEVICE

${CONTROL_HELP}

Examples
  entityos device show 0198f2c1-7d1e-7000-8000-0123456789ab
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values, words } = parseCommandLine(args, CONTROL_OPTIONS, ["DEVICE"]);
  const device = await (await openControl(values)).get<DeviceDetail>(`/devices/${encodeURIComponent(words[0] ?? "")}`);
  if (values.json) return printJson(io, device);
  io.out(
    facts([
      ["device", device.id],
      ["subject", device.subject],
      ["profile", device.profile],
      ["pattern", device.pattern],
      ["enrolled with", device.selector],
      ["enrolled", timeText(device.enrolledAt)],
      ["ended", endText(device)],
    ]),
  );
  io.out(`\n${device.grants.length === 0 ? "no grants\n" : grantTable(device.grants)}`);
  if (device.certificates.length > 0) io.out(`\n${certificateTable(device.certificates)}`);
}
