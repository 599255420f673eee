import { existsSync } from "node:fs";
import type { RegistryStatus } from "../../lib/admin/api.ts";
import { PATH } from "../../lib/service.ts";
import { NotTrueError, parseCommandLine, UsageError } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import { defaultStateFolder, isEnrolled } from "./device-state.ts";
import { printDeviceStatus } from "./device-status.ts";
import type { Io } from "./io.ts";
import { printRegistryStatus } from "./registry-status.ts";

export const help = `Shows how the registry stands; on an enrolled device, or with --state, how that device stands

Usage: entityos status [--check] [--socket PATH | --control URL …]
       entityos status --state DIR [--offline]

Options
  --state DIR      folder of an enrolled device (default where no registry runs: ${defaultStateFolder()})
  --check          of the registry: ends with 1 when an alarm stands
  --offline        of a device: tells what its file says and asks nobody

Of a device it ends with 1 when the device is out or all that it registered has expired, and with 69 when no registry answers.

${CONTROL_HELP}

Examples
  entityos status --json
  entityos status --check && echo all is well
  entityos status --state ~/.local/state/entityos
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, {
    ...CONTROL_OPTIONS,
    state: { type: "string" },
    offline: { type: "boolean", default: false },
    check: { type: "boolean", default: false },
  });
  const asksControl = values.socket !== undefined || values.control !== undefined;
  if (values.state !== undefined && asksControl) throw new UsageError("--state is for a device: it goes without --socket and --control.");
  const folder = values.state ?? (asksControl ? null : ownDevice());
  if (folder !== null) {
    await printDeviceStatus(folder, values, io);
    return;
  }
  if (values.offline) throw new UsageError("--offline is for a device: it goes with --state.");
  const status = await (await openControl(values)).get<RegistryStatus>("/status");
  if (values.json) printJson(io, status);
  else printRegistryStatus(status, io);
  if (values.check && status.alarms.length > 0) throw new NotTrueError(`not_well: ${status.alarms.map(({ code }) => code).join(", ")}`);
}

/** Where nothing is named and no registry runs, an enrolled device is what is meant. */
const ownDevice = (): string | null => {
  const folder = defaultStateFolder();
  return !existsSync(PATH.controlSocket) && isEnrolled(folder) ? folder : null;
};
