import type { Certificate } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, PAGE_HELP, PAGE_OPTIONS, printPage } from "./control.ts";
import type { Io } from "./io.ts";
import { table, timeText } from "./print.ts";

export const help = `Lists certificates that the registry made: of devices, agents, operators and servers

Usage: entityos cert list [--device DEVICE]

Options
  --device DEVICE  those of one device

${PAGE_HELP}

${CONTROL_HELP}

Examples
  entityos cert list
  entityos cert list --json | jq -r '.items[] | select(.state == "live") | .fingerprint'
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, ...PAGE_OPTIONS, device: { type: "string" } });
  const { device } = values;
  const page = await (await openControl(values)).page<Certificate>("/certificates", values, device === undefined ? {} : { device });
  printPage(io, page, values.json, certificateTable);
}

export const certificateTable = (certificates: readonly Certificate[]): string =>
  table(
    ["FINGERPRINT", "SUBJECT", "STATE", "UNTIL", "REVOKED"],
    certificates.map(({ fingerprint, subject, state, endsAt, revokedAt, reason }) => [
      fingerprint,
      subject,
      state,
      timeText(endsAt),
      revokedAt === null ? "-" : `${timeText(revokedAt)} ${reason ?? ""}`.trim(),
    ]),
  );
