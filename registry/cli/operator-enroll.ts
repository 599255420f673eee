import { join } from "node:path";
import type { IssuedCertificate, NewOperator } from "../../lib/admin/api.ts";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { makeKeyAndCsr } from "../ca/csr.ts";
import { parseCommandLine, required } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { facts, timeText } from "./print.ts";

export const help = `Makes an operator's key and certificate, for --control from another machine. Over the local socket only

Usage: entityos operator enroll NAME --out DIR [--metrics]

Writes DIR/operator.key (0600), operator.crt and ca.pem.

--metrics makes one that may read /metrics of control and do nothing else, for Prometheus.

${CONTROL_HELP}

Examples
  entityos operator enroll alice --out ./alice
  entityos status --control https://control.example:8444 --cert alice/operator.crt --key alice/operator.key --ca alice/ca.pem
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values, words } = parseCommandLine(
    args,
    { ...CONTROL_OPTIONS, out: { type: "string" }, metrics: { type: "boolean", default: false } },
    ["NAME"],
  );
  const [name = ""] = words;
  const out = required(values.out, "out");
  const control = await openControl(values);
  makePrivateFolder(out);
  const { key, csr } = await makeKeyAndCsr(name);
  const body: NewOperator = { name, csr, role: values.metrics ? "metrics" : "operator" };
  const issued = await control.send<IssuedCertificate>("POST", "/certificates/operator", body);
  const files = ["operator.key", "operator.crt", "ca.pem"].map((file) => join(out, file));
  const [keyFile = "", certificateFile = "", caFile = ""] = files;
  writeFileAtomic(keyFile, key, 0o600);
  writeFileAtomic(certificateFile, issued.certificate + issued.chain, 0o644);
  writeFileAtomic(caFile, issued.ca, 0o644);
  if (values.json) return printJson(io, { name, files, notAfter: issued.notAfter });
  io.out(
    facts([
      [body.role, name],
      ["certificate until", timeText(issued.notAfter)],
      ["files", files.join(" ")],
    ]),
  );
}
