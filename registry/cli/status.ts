import type { RegistryStatus } from "../../lib/admin/api.ts";
import { parseCommandLine, UsageError } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import { printDeviceStatus } from "./device-state.ts";
import type { Io } from "./io.ts";
import { facts } from "./print.ts";

export const help = `Shows how the registry stands; with --state, how this device stands

Usage: entityos status [--socket PATH | --control URL …]
       entityos status --state DIR

Options
  --state DIR      folder of an enrolled device (entityos enroll)

${CONTROL_HELP}

Examples
  entityos status --json
  entityos status --state ~/.local/state/entityos
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, state: { type: "string" } });
  if (values.state !== undefined) {
    if (values.socket !== undefined || values.control !== undefined)
      throw new UsageError("--state is for a device: it goes without --socket and --control.");
    return printDeviceStatus(values.state, values.json, io);
  }
  const status = await (await openControl(values)).get<RegistryStatus>("/status");
  if (values.json) return printJson(io, status);
  const { agents } = status;
  io.out(
    facts([
      ["registry", status.name],
      ["epoch", status.epoch],
      ["revision", String(status.revision)],
      ["digest", status.digest],
      ["rules", String(status.rules)],
      ["devices", String(status.devices)],
      ["live grants", String(status.grants)],
      ["waiting", String(status.inbox)],
      ["agents", `${agents.enrolled} enrolled, ${agents.connected} connected, ${agents.inSync} in sync`],
    ]),
  );
}
