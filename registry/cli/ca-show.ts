import type { CertificateAuthority } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { table, timeText } from "./print.ts";

export const help = `Shows the registry's CAs: which sign, until when, and their lists of revoked certificates

Usage: entityos ca show

${CONTROL_HELP}

Examples
  entityos ca show
  entityos ca show --json | jq -r '.[] | select(.state == "next") | .waitingFor[]'
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, CONTROL_OPTIONS);
  const authorities = await (await openControl(values)).get<readonly CertificateAuthority[]>("/authorities");
  if (values.json) return printJson(io, authorities);
  io.out(
    table(
      ["CA", "ROLE", "STATE", "KEY", "UNTIL", "CRL", "CRL UNTIL"],
      authorities.map(({ id, role, state, keyHere, notAfter, crl }) => [
        id,
        role,
        state,
        keyHere ? "here" : "elsewhere",
        timeText(notAfter),
        crl === null ? "-" : String(crl.number),
        timeText(crl?.nextUpdate ?? null),
      ]),
    ),
  );
  for (const { id, waitingFor } of authorities) if (waitingFor.length > 0) io.out(`${id} waits for: ${waitingFor.join(" ")}\n`);
}
