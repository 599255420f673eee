import type { AuditEntry } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, PAGE_HELP, PAGE_OPTIONS, printPage } from "./control.ts";
import { isRecord } from "./http.ts";
import type { Io } from "./io.ts";
import { table, timeText } from "./print.ts";

export const help = `Lists the audit log, oldest first: who changed what

Usage: entityos audit list

${PAGE_HELP}

${CONTROL_HELP}

Examples
  entityos audit list
  entityos audit list --after 1200 --limit 50
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, ...PAGE_OPTIONS });
  const page = await (await openControl(values)).page<AuditEntry>("/audit", values);
  printPage(io, page, values.json, (entries) =>
    table(
      ["ENTRY", "AT", "ACTOR", "ACTION", "DETAIL"],
      entries.map((entry) => [String(entry.seq), timeText(entry.at), entry.actor, entry.action, detailText(entry.detail)]),
    ),
  );
}

/** "profile=desktop uses=1": names of members with their values, JSON where a value is not plain. */
function detailText(detail: unknown): string {
  if (!isRecord(detail)) return JSON.stringify(detail) ?? "-";
  const members = Object.entries(detail).filter(([, value]) => value !== null);
  return members.map(([name, value]) => `${name}=${plain(value)}`).join(" ") || "-";
}

const plain = (value: unknown): string => (typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value));
