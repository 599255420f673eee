import type { Agent } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, PAGE_HELP, PAGE_OPTIONS, printPage } from "./control.ts";
import type { Io } from "./io.ts";
import { table, timeText } from "./print.ts";

export const help = `Lists agents: which revision each host has, and whether its feed lives

Usage: entityos agent list

${PAGE_HELP}

${CONTROL_HELP}

Examples
  entityos agent list
  entityos agent list --json | jq -r '.items[] | select(.feed == null) | .name'
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, ...PAGE_OPTIONS });
  const page = await (await openControl(values)).page<Agent>("/agents", values);
  printPage(io, page, values.json, (agents) =>
    table(
      ["AGENT", "ZONE", "FEED", "REVISION", "LAST APPLY", "SEEN"],
      agents.map((agent) => [
        agent.name,
        agent.zone,
        feedText(agent),
        String(agent.feed?.revision ?? agent.ackedRevision),
        agent.feed === null ? "-" : `${agent.feed.lastApplyMs.toFixed(1)} ms`,
        timeText(agent.feed?.seenAt ?? agent.seenAt),
      ]),
    ),
  );
}

function feedText({ revokedAt, feed }: Agent): string {
  if (revokedAt !== null) return "revoked";
  if (feed === null) return "down";
  const state = feed.phase === "live" ? "up" : feed.phase;
  return feed.duplicates === 0 ? state : `${state}, taken over ${feed.duplicates} times`;
}
