import type { Page, Profile } from "../../lib/admin/api.ts";
import { durationText, parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printPage } from "./control.ts";
import type { Io } from "./io.ts";
import { table } from "./print.ts";

export const help = `Lists profiles: named access patterns and their limits

Usage: entityos profile list

${CONTROL_HELP}

Examples
  entityos profile list
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, CONTROL_OPTIONS);
  const page = await (await openControl(values)).get<Page<Profile>>("/profiles");
  printPage(io, page, values.json, (profiles) =>
    table(
      ["NAME", "PATTERN", "ADDRESSES", "FOR", "CERTIFICATE", "MOST", "WIDEST", "OBSERVED IPV6", "PLAIN CODE", "RE-ENROLL"],
      profiles.map((profile) => [
        profile.name,
        profile.pattern,
        typeof profile.addresses === "string" ? profile.addresses : `within ${profile.addresses.join(",")}`,
        durationText(profile.addressLifetimeMs),
        durationText(profile.certificateLifetimeMs),
        String(profile.maxAddresses),
        `/${profile.widest4} /${profile.widest6}`,
        `/${profile.observed6}`,
        profile.plainCode ? "yes" : "no",
        profile.reenroll ? "yes" : "no",
      ]),
    ),
  );
}
