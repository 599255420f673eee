import { existsSync } from "node:fs";
import { join } from "node:path";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { makeKeyAndCsr } from "../ca/csr.ts";
import { parseCommandLine, required, UsageError } from "./command.ts";
import { printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { facts } from "./print.ts";

export const help = `Makes an agent's key on the host where it is to stay, and the request that control signs. Asks nobody

Usage: entityos agent request NAME --out DIR [--service] [--replace]

Writes DIR/agent.key (0600) and agent.csr. An operator then has the request signed:
  entityos agent enroll NAME --csr agent.csr --out DIR
and agent.crt and ca.pem of that folder are put beside the key. With --service the operator adds
  --service NAMES --service-csr service.csr
and service.crt is put there too.

Options
  --out DIR     folder for the files, made if needed
  --service     also writes service.key and service.csr, for the service behind the gate
  --replace     makes new keys where there are some
  --json        prints JSON

Examples
  entityos agent request web-1 --out /etc/entityos-agent
`;

const OPTIONS = {
  out: { type: "string" },
  service: { type: "boolean", default: false },
  replace: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

const SERVICE_PART = " --service NAMES --service-csr service.csr";

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values, words } = parseCommandLine(args, OPTIONS, ["NAME"]);
  const [name = ""] = words;
  const out = required(values.out, "out");
  const wanted = values.service ? (["agent", "service"] as const) : (["agent"] as const);
  const there = wanted.map((kind) => join(out, `${kind}.key`)).find((file) => existsSync(file));
  if (there !== undefined && !values.replace) throw new UsageError(`${there} is there; --replace makes another one.`);
  makePrivateFolder(out);
  const files: string[] = [];
  for (const kind of wanted) {
    const { key, csr } = await makeKeyAndCsr(kind === "agent" ? name : null);
    for (const [file, text, mode] of [
      [join(out, `${kind}.key`), key, 0o600],
      [join(out, `${kind}.csr`), csr, 0o644],
    ] as const) {
      writeFileAtomic(file, text, mode);
      files.push(file);
    }
  }
  if (values.json) return printJson(io, { name, files });
  io.out(
    facts([
      ["agent", name],
      ["files", files.join(" ")],
      ["next", `entityos agent enroll ${name} --csr agent.csr${values.service ? SERVICE_PART : ""} --out DIR, where control is`],
    ]),
  );
}
