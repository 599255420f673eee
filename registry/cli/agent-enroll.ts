import { accessSync, constants, existsSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { IssuedCertificate, NewAgent, NewServerCertificate } from "../../lib/admin/api.ts";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { makeKeyAndCsr } from "../ca/csr.ts";
import { parseCommandLine, required, UsageError } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, type Control, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { facts, timeText } from "./print.ts";
import { readFile } from "./tls.ts";

export const help = `Enrols a host's agent: makes its key here and has its certificate signed

Usage: entityos agent enroll NAME --out DIR [--zone restricted|open] [--service NAMES] [--replace]
       entityos agent enroll NAME --out DIR --csr FILE [--service NAMES --service-csr FILE]

Writes DIR/agent.key (0600), agent.crt and ca.pem (the root that the agent pins).

Options
  --out DIR        folder for the files, made if needed
  --zone ZONE      restricted (default) or open
  --service NAMES  also writes service.key and service.crt for the service behind the gate: names and addresses, comma-separated
  --csr FILE       a request made where the key is to stay (entityos agent request); no agent.key is written
  --service-csr FILE   the same for the service's key
  --replace        takes the place of an agent of that name, whose certificate is revoked, and of the keys that are in DIR

${CONTROL_HELP}

Examples
  entityos agent enroll web-1 --out /etc/entityos-agent
  entityos agent enroll web-1 --out ./web-1 --service app.example,203.0.113.10
`;

const OPTIONS = {
  ...CONTROL_OPTIONS,
  out: { type: "string" },
  zone: { type: "string", default: "restricted" },
  service: { type: "string" },
  csr: { type: "string" },
  "service-csr": { type: "string" },
  replace: { type: "boolean", default: false },
} as const;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values, words } = parseCommandLine(args, OPTIONS, ["NAME"]);
  const [name = ""] = words;
  const out = required(values.out, "out");
  if (values["service-csr"] !== undefined && values.service === undefined) throw new UsageError("--service-csr goes with --service.");
  const { csr, service: names, "service-csr": serviceCsr } = values;
  const made = [...(csr === undefined ? ["agent.key"] : []), ...(names !== undefined && serviceCsr === undefined ? ["service.key"] : [])];
  const there = made.map((file) => join(out, file)).find((file) => existsSync(file));
  if (there !== undefined && !values.replace)
    throw new UsageError(`${there} is there, and may be in use: name another --out, or put a new one in its place with --replace.`);
  const control = await openControl(values);
  const own = values.csr === undefined ? await makeKeyAndCsr(name) : { key: null, csr: readFile(values.csr) };
  const body: NewAgent = { name, zone: readZone(values.zone), csr: own.csr, replace: values.replace };
  // The folder first: an agent whose files go nowhere would be waited for. Files last: a refused one leaves those of a living agent alone.
  const fresh = !existsSync(out);
  makePrivateFolder(out);
  accessSync(out, constants.W_OK);
  const { service, issued } = await sign(control, body, values).catch((error: unknown) => {
    if (fresh) rmdirSync(out);
    throw error;
  });
  const files = new Files(out);
  if (own.key !== null) files.write("agent.key", own.key, 0o600);
  files.write("agent.crt", issued.certificate + issued.chain, 0o644);
  files.write("ca.pem", issued.ca, 0o644);
  if (service !== null) {
    if (service.key !== null) files.write("service.key", service.key, 0o600);
    files.write("service.crt", service.certificate, 0o644);
  }
  if (values.json) return printJson(io, { name, zone: body.zone, files: files.written, notAfter: issued.notAfter });
  io.out(
    facts([
      ["agent", name],
      ["zone", body.zone],
      ["certificate until", timeText(issued.notAfter)],
      ["files", files.written.join(" ")],
    ]),
  );
}

/** The service first: when its names are refused, no agent is enrolled yet. */
async function sign(
  control: Control,
  body: NewAgent,
  { service: names, "service-csr": csr }: { readonly service?: string | undefined; readonly "service-csr"?: string | undefined },
) {
  const service = names === undefined ? null : await certify(control, names.split(","), csr);
  return { service, issued: await control.send<IssuedCertificate>("POST", "/agents", body) };
}

/** Key, unless it is elsewhere, and certificate with its chain, for the service behind the gate. */
async function certify(
  control: Control,
  names: readonly string[],
  request: string | undefined,
): Promise<{ readonly key: string | null; readonly certificate: string }> {
  const { key, csr } = request === undefined ? await makeKeyAndCsr(null) : { key: null, csr: readFile(request) };
  const body: NewServerCertificate = { names, csr };
  const issued = await control.send<IssuedCertificate>("POST", "/certificates/server", body);
  return { key, certificate: issued.certificate + issued.chain };
}

class Files {
  readonly written: string[] = [];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  write(name: string, text: string, mode: number): void {
    const file = join(this.#folder, name);
    writeFileAtomic(file, text, mode);
    this.written.push(file);
  }
}

function readZone(text: string): "restricted" | "open" {
  if (text === "restricted" || text === "open") return text;
  throw new UsageError(`--zone is restricted or open: '${text}' is not.`);
}
