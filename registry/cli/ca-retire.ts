import { REVOCATION_REASONS, type RevokeCertificate } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { readReason } from "./reason.ts";

export const help = `Takes a CA out at once that does not sign: a retired one, or the next one of a rotation that is to stop

Everything that it signed is revoked, no gate takes any of it, and its root's list names it (the root's key must be in the registry's pki
folder). A CA that signs is rotated first. A retired root leaves with what ties it to the other roots: who pinned it alone then knows
nobody any more. Without this a CA leaves by itself after its last certificate ended.

Usage: entityos ca retire CA [--reason REASON]

Options
  --reason REASON  ${REVOCATION_REASONS.join(", ")} (default cessationOfOperation)

${CONTROL_HELP}

Examples
  entityos ca retire device-1a2b3c4d --reason keyCompromise
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const options = { ...CONTROL_OPTIONS, reason: { type: "string", default: "cessationOfOperation" } } as const;
  const { values, words } = parseCommandLine(args, options, ["CA"]);
  const ca = words[0] ?? "";
  const body: RevokeCertificate = { reason: readReason(values.reason) };
  const answer = await (await openControl(values)).send<{ readonly ca: string }>(
    "POST",
    `/authorities/${encodeURIComponent(ca)}/retire`,
    body,
  );
  if (values.json) return printJson(io, answer);
  io.out(`leaves: ${ca}, with all that it signed (entityos ca show)\n`);
}
