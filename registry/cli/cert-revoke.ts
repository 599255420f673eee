import { type Certificate, REVOCATION_REASONS, type RevokeCertificate } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { readReason } from "./reason.ts";

export const help = `Revokes one certificate: no gate takes it any more, and its CA's next list names it

Usage: entityos cert revoke FINGERPRINT [--reason REASON]

A device keeps its other certificates and its addresses (entityos device revoke ends it whole); an agent is revoked with its certificate.
With keyCompromise the device's other certificates of the same key go too, and nobody gets one for that key any more. Whoever had the key may
have renewed by it for one of his own: "entityos cert list --device DEVICE" tells, and the audit log by which certificate (by).

Options
  --reason REASON  ${REVOCATION_REASONS.join(", ")} (default unspecified)

${CONTROL_HELP}

Examples
  entityos cert revoke 5f2b7c…c1 --reason keyCompromise
`;

interface Revoked {
  readonly certificate: Certificate;
  readonly revision: number;
}

export async function run(args: readonly string[], io: Io): Promise<void> {
  const options = { ...CONTROL_OPTIONS, reason: { type: "string", default: "unspecified" } } as const;
  const { values, words } = parseCommandLine(args, options, ["FINGERPRINT"]);
  const fingerprint = (words[0] ?? "").replaceAll(":", "").toLowerCase();
  const body: RevokeCertificate = { reason: readReason(values.reason) };
  const path = `/certificates/${encodeURIComponent(fingerprint)}/revoke`;
  const revoked = await (await openControl(values)).send<Revoked>("POST", path, body);
  if (values.json) return printJson(io, revoked);
  const { certificate, revision } = revoked;
  io.out(`${certificate.state}: ${certificate.subject}, in force with revision ${revision}\n`);
}
