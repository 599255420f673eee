import type { RegistryStatus } from "../../lib/admin/api.ts";
import type { Io } from "./io.ts";
import { count, facts, table, timeText } from "./print.ts";

/** One screen: whether all is well, what is in force where, who came last. */
export function printRegistryStatus(status: RegistryStatus, io: Io): void {
  const { agents, alarms, codes, spread } = status;
  io.out(
    facts([
      ["registry", status.name],
      ["all is well", alarms.length === 0 ? "yes" : `no: ${count(alarms.length, "alarm")}, below`],
      ["epoch", status.epoch],
      ["revision", String(status.revision)],
      ["digest", status.digest],
      ["agents", `${agents.enrolled} enrolled, ${agents.connected} connected, ${agents.inSync} in sync`],
      ["rules", [String(status.rules), ...status.rulesBy.map(({ lane, family, rules }) => `${lane} IPv${family} ${rules}`)].join(", ")],
      ["devices", `${status.devices}, with ${count(status.grants, "live grant")}`],
      ["codes", `${codes.usable} usable of ${codes.made}`],
      ["waiting", String(status.inbox)],
      ...(spread === null
        ? []
        : [["last spread", `revision ${spread.revision} on ${count(spread.agents, "agent")} in ${spread.ms.toFixed(1)} ms`] as const]),
      ...alarms.map(({ text }) => ["ALARM", text] as const),
    ]),
  );
  if (status.latest.length === 0) return;
  io.out(
    `\n${table(
      ["DECIDED", "ACTION", "SIGNER", "OUTCOME"],
      status.latest.map(({ at, action, signer, device, refused }) => [timeText(at), action, signer, refused ?? `device ${device ?? "-"}`]),
    )}`,
  );
}
