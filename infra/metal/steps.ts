import { dirname } from "node:path";
import { contains, parseAddress, parsePrefix, prefixOf } from "../../lib/ip.ts";
import { PATH } from "../../lib/service.ts";
import { INSTALL } from "./apt.ts";
import { AGENT_FOLDER } from "./configurations.ts";
import type { Desired } from "./desired.ts";
import { HostError } from "./errors.ts";
import { ENROLMENT_FOLDER, type Observed, RECORD, UNFINISHED } from "./observed.ts";
import { openParcel, PACK, parcelOf, UNPACK } from "./parcel.ts";
import type { AgentHost, Host } from "./settings.ts";
import type { Remote } from "./ssh.ts";

/** apt may have a mirror that is slow. */
export const PACKAGES_MS = 900_000;

/** Installs what is missing or another build. Services that run go on until the new version takes over. */
export async function installPackages(remote: Remote, folder: string, desired: Desired, observed: Observed): Promise<void> {
  const others = desired.packages.filter(
    ({ name, version, sha256 }) => observed.packages[name] !== version || observed.record?.packages[name] !== sha256,
  );
  // What is there in this version is installed once more by the word reinstall alone.
  const same = others.filter(({ name, version }) => observed.packages[name] === version);
  const missing = desired.system.filter((name) => observed.packages[name] === undefined);
  const words = [
    others.map(({ file, sha256 }) => `${sha256}  ${file}`).join("\n"),
    same.length > 0 ? "--reinstall" : "",
    ...others.map(({ file }) => `./${file}`),
    ...missing,
  ];
  const input = others.length === 0 ? "" : { folder, files: others.map(({ file }) => file) };
  await remote.sh("packages", INSTALL, { words, input, timeoutMs: PACKAGES_MS });
}

/**
 * Puts the configuration in place, after the program itself has judged it. A host that is not enrolled is judged at its start.
 * @throws HostError failed, with every problem that the program has with it; the old file is then still there
 */
export async function configure(remote: Remote, host: Host, desired: Desired, judged: boolean): Promise<void> {
  const program = host.role === "registry" ? "entityos-registry" : "entityos-agent";
  for (const [path, text] of Object.entries(desired.files)) {
    await remote.sh(
      "configuration",
      `cat >"$2.new"; chmod 644 "$2.new"
if [ -n "$3" ] && ! "$3" check --config "$2.new" >&2; then rm -f "$2.new"; exit 1; fi
mv "$2.new" "$2"`,
      { words: [path, judged ? program : ""], input: text },
    );
  }
}

/**
 * Enrols a host: its keys are made there and stay, requests travel to the registry and certificates back. An agent of that name that was
 * there before is replaced, for the settings say that this host is the one.
 */
export async function enrol(remote: Remote, registry: Remote, host: AgentHost): Promise<void> {
  const { name } = host.connection;
  const files = host.service.length > 0 ? ["agent.csr", "service.csr"] : ["agent.csr"];
  const requests = await remote.sh(
    "enrolment",
    `rm -rf ${ENROLMENT_FOLDER}
entityos agent request "$2" $3 --out ${ENROLMENT_FOLDER} >/dev/null
folder=${ENROLMENT_FOLDER} files=$4; ${PACK}`,
    { words: [name, host.service.length > 0 ? "--service" : "", files.join(" ")] },
  );
  const signed = await registry.sh(
    "enrolment",
    `folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
${UNPACK}
set -- "$2" "$3" "$4"
if [ -n "$3" ]; then set -- "$1" "$2" --service "$3" --service-csr service.csr; else set -- "$1" "$2"; fi
name=$1 zone=$2; shift 2
entityos agent enroll "$name" --replace --zone "$zone" --csr agent.csr "$@" --out out >&2
folder=out files='agent.crt ca.pem service.crt'; ${PACK}`,
    { words: [name, host.config.zone, host.service.join(",")], input: opened(name, requests, files) },
  );
  // The agent's certificate last: a host that has it is enrolled.
  await remote.sh(
    "enrolment",
    `cd ${ENROLMENT_FOLDER}; ${UNPACK}; chown root:root *; chmod 644 *.crt ca.pem
rm -f *.csr
for file in agent.key service.key service.crt ca.pem agent.crt; do [ ! -e "$file" ] || mv -f "$file" ${AGENT_FOLDER}/; done
rm -f ${PATH.agentState}/${PATH.agentRenewedName}
rmdir ${ENROLMENT_FOLDER}; systemd-tmpfiles --create entityos-agent.conf`,
    { input: opened(name, signed, ["agent.crt", "ca.pem", ...(host.service.length > 0 ? ["service.crt"] : [])]) },
  );
}

/** What a host said, looked at before another one gets it. */
function opened(host: string, parcel: string, needed: readonly string[]): string {
  try {
    return parcelOf(openParcel(parcel, needed));
  } catch (cause) {
    throw new HostError(host, "enrolment", "not_certificates", cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** Makes keys, certificates and Storage where they are not yet. */
export const initialise = (remote: Remote): Promise<string> => remote.sh("start", "entityos-registry init >&2");

/** @param how restart: what was changed counts only then */
export async function start(remote: Remote, { units }: Desired, how: "restart" | "start"): Promise<void> {
  const [first] = units;
  const told = (unit: string) => `{ journalctl --no-pager -q -n 15 -o cat -u ${unit} >&2; exit 1; }`;
  await remote.sh(
    "start",
    `shift; systemctl enable -q "$@"
systemctl reset-failed "$@" 2>/dev/null || true
systemctl ${how} ${first} || ${told(first)}
for unit; do systemctl start "$unit" || ${told('"$unit"')}; done`,
    { words: units, timeoutMs: 150_000 },
  );
}

/**
 * Marks a host whose deploy has begun, and says whose it is: what is interrupted is told by the next plan, and what still runs with the
 * old is restarted.
 */
export const begin = (remote: Remote, who: string): Promise<string> =>
  remote.sh("record", `mkdir -p ${dirname(UNFINISHED)}; echo "$2" >${UNFINISHED}`, { words: [who] });

/** Says on the host what was deployed there, whole. */
export async function record(remote: Remote, host: string, desired: Desired, generation: string): Promise<void> {
  const packages = Object.fromEntries(desired.packages.map(({ name, sha256 }) => [name, sha256]));
  await remote.sh("record", `mkdir -p "\${2%/*}"; cat >"$2.new"; mv "$2.new" "$2"; rm -f ${UNFINISHED}`, {
    words: [RECORD],
    input: `${JSON.stringify({ host, generation, packages, zone: desired.zone })}\n`,
  });
}

/**
 * The gate lets operators in from named networks to named ports alone: what this connection came from and to must be among them, or nobody
 * could mend the host. Null when it is; else what is missing.
 */
export function lockOut({ config }: AgentHost, { asked }: Observed): string | null {
  const { networks, ports } = config.gate.management;
  if (!networks.some((network) => isInside(network, asked.from)))
    return `gate.management.networks does not have ${asked.from}, from where it is deployed`;
  return ports.includes(asked.port) ? null : `gate.management.ports does not have ${asked.port}, where its SSH is asked`;
}

/** Whether a network has an address in it. */
function isInside(network: string, address: string): boolean {
  try {
    const parsed = parseAddress(address);
    return contains(parsePrefix(network), prefixOf(parsed.family, parsed.address, parsed.family === 4 ? 32 : 128));
  } catch {
    return false;
  }
}
