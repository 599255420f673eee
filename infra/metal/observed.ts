import { X509Certificate } from "node:crypto";
import { z } from "zod";
import { parseAddress } from "../../lib/ip.ts";
import { PATH } from "../../lib/service.ts";
import { AGENT_FOLDER } from "./configurations.ts";
import { HostError } from "./errors.ts";
import { type AgentHealth, healthOf } from "./health.ts";
import type { Remote } from "./ssh.ts";

/** Kept on the host: what was deployed there last. */
export const RECORD = "/var/lib/entityos-metal/record.json";
/** There while a deploy is under way, and after one that was interrupted. */
export const UNFINISHED = "/var/lib/entityos-metal/unfinished";
/** While an enrolment is under way; what it made so far is worth nothing. */
export const ENROLMENT_FOLDER = `${AGENT_FOLDER}/.enrolment`;

const recordSchema = z.object({
  /** What the settings called it; null in a record of a version that did not write it. */
  host: z.string().max(63).nullable().default(null),
  /** Goes into Terraform's configuration, where $ and % would be its language: a host must not speak it. */
  generation: z.string().regex(/^[0-9A-Za-z:.-]{1,64}$/),
  packages: z.record(z.string(), z.string()),
  /** What its agent was enrolled for. */
  zone: z.string().nullable(),
});

/** What a host is. */
export interface Observed {
  readonly architecture: string;
  /** Where it was asked from, and at which port, as the host sees it. */
  readonly asked: { readonly from: string; readonly port: number };
  /** Versions of what is installed. */
  readonly packages: Readonly<Record<string, string>>;
  /** SHA-256 of the configuration files that are there. */
  readonly files: Readonly<Record<string, string>>;
  readonly units: Readonly<Record<string, { readonly active: string; readonly enabled: string }>>;
  readonly enrolled: boolean;
  /** The certificate of the service behind the gate; null is none that can be read. */
  readonly service: { readonly names: readonly string[]; readonly notAfter: number } | null;
  /** When the certificate ends by which its agent speaks with the registry, integer ms; null is none that can be read. */
  readonly agentEnds: number | null;
  /** What the agent says of itself; null while none answers. */
  readonly agent: AgentHealth | null;
  /** A deploy was begun and did not come to its end. */
  readonly unfinished: boolean;
  /** Null where metal never came to an end. */
  readonly record: z.output<typeof recordSchema> | null;
}

const SCRIPT = `
echo "architecture $(dpkg --print-architecture)"
set -- $1; echo "asked \${1-} \${4-}"
dpkg-query -W -f 'package \${db:Status-Status} \${Package} \${Version}\\n' 'entityos-*' haproxy nginx conntrack iproute2 2>/dev/null || true
for file in ${PATH.agentConfig} ${PATH.registryConfig}; do
  [ ! -f "$file" ] || echo "file $file $(sha256sum <"$file" | cut -d' ' -f1)"
done
for unit in entityos-agent entityos-gate entityos-floor entityos-terminator entityos-terminator-nginx entityos-registry; do
  echo "unit $unit.service $(systemctl is-active "$unit.service" || true) $(systemctl is-enabled "$unit.service" 2>/dev/null || true)"
done
[ ! -e ${AGENT_FOLDER}/agent.crt ] || [ -e ${ENROLMENT_FOLDER} ] || echo enrolled
for file in ${AGENT_FOLDER}/agent.crt ${PATH.agentState}/${PATH.agentRenewedName}; do
  [ ! -f "$file" ] || echo "agent $(base64 -w0 <"$file")"
done
! command -v entityos-agent >/dev/null || echo "status $(entityos-agent status --json 2>/dev/null | base64 -w0)"
service=${PATH.serviceCertificate}
# The agent renews it, beside its state.
[ ! ${PATH.agentState}/${PATH.serviceRenewedName} -nt "$service" ] || service=${PATH.agentState}/${PATH.serviceRenewedName}
[ ! -f ${PATH.serviceCertificate} ] || echo "service $(base64 -w0 <"$service")"
[ ! -e ${UNFINISHED} ] || echo unfinished
[ ! -f ${RECORD} ] || echo "record $(base64 -w0 <${RECORD})"
`;

/** Reads what a host is; changes nothing there. @throws HostError of the step connect */
export async function observe(host: string, remote: Remote): Promise<Observed> {
  const said = await remote.sh("connect", SCRIPT);
  try {
    return parseObserved(said);
  } catch (cause) {
    throw new HostError(host, "connect", "not_debian", `it does not answer as a Debian does: ${said.trim().slice(0, 500)}`, cause);
  }
}

/** @throws Error when the architecture is missing, which every Debian has */
export function parseObserved(text: string): Observed {
  // A host may be broken into: what could move a terminal's cursor does not come through.
  const lines = text
    .replace(/[^\x20-\x7e\n]/g, "?")
    .split("\n")
    .map((line) => line.trim().split(" "));
  const all = (kind: string): string[][] => lines.filter(([first]) => first === kind).map(([, ...rest]) => rest);
  const one = (kind: string): string | undefined => all(kind)[0]?.[0];
  const [asked = []] = all("asked");
  const architecture = one("architecture");
  if (architecture === undefined || architecture === "") throw new Error("no architecture");
  const installed = all("package").filter(([status]) => status === "installed");
  return {
    architecture,
    asked: { from: asked[0] ?? "", port: Number(asked[1]) },
    packages: Object.fromEntries(installed.map(([, name = "", version = ""]) => [name, version])),
    files: Object.fromEntries(all("file").map(([path = "", sha256 = ""]) => [path, sha256])),
    units: Object.fromEntries(all("unit").map(([unit = "", active = "", enabled = ""]) => [unit, { active, enabled }])),
    enrolled: all("enrolled").length > 0,
    service: serviceOf(one("service")),
    // The renewed one counts, which ends later; one that is left of another enrolment ends earlier.
    agentEnds: all("agent").reduce<number | null>((latest, [base64]) => latestOf(latest, certificateOf(base64)), null),
    agent: healthOf(Buffer.from(one("status") ?? "", "base64").toString()),
    unfinished: all("unfinished").length > 0,
    record: recordOf(one("record")),
  };
}

function recordOf(base64: string | undefined): Observed["record"] {
  if (base64 === undefined) return null;
  try {
    return recordSchema.parse(JSON.parse(Buffer.from(base64, "base64").toString()));
  } catch {
    // What somebody broke is as good as none: everything is deployed anew.
    return null;
  }
}

const latestOf = (latest: number | null, certificate: X509Certificate | null): number | null =>
  certificate === null ? latest : Math.max(latest ?? 0, certificate.validToDate.getTime());

function certificateOf(base64: string | undefined): X509Certificate | null {
  try {
    return new X509Certificate(Buffer.from(base64 ?? "", "base64"));
  } catch {
    return null;
  }
}

function serviceOf(base64: string | undefined): Observed["service"] {
  const certificate = certificateOf(base64);
  if (certificate === null) return null;
  const names = (certificate.subjectAltName ?? "").split(", ").map((name) => name.replace(/^(DNS|IP Address):/, ""));
  return { names: names.map(canonicalName).sort(), notAfter: certificate.validToDate.getTime() };
}

/** One text for one name or address. */
export function canonicalName(name: string): string {
  try {
    return parseAddress(name.toLowerCase()).address;
  } catch {
    return name.toLowerCase();
  }
}
