import { stringify } from "yaml";
import { waitFor } from "../lab/wait.ts";
import type { Machine } from "./machine.ts";

/** As on any host: apt from files, no network, nothing asked. */
const INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold";
const TIMEOUT_MS = 300_000;
export const REGISTRY_NAME = "register.example";

/** Gives a machine its network, now and at each boot. */
export async function connect({ v4, v6, sh }: Pick<Machine, "v4" | "v6"> & { readonly sh: Machine["sh"] }): Promise<void> {
  await sh(`cat >/etc/systemd/network/10-lab.network <<END
[Match]
Name=host0
[Network]
Address=${v4}/24
Address=${v6}/64
LinkLocalAddressing=ipv6
IPv6AcceptRA=no
END
systemctl enable --now systemd-networkd`);
}

/** Installs packages of one build by apt. @param names "agent", "registry", "cli" */
export async function install(machine: Machine, build: "1" | "2", names: readonly string[]): Promise<void> {
  const files = names.map((name) => `/dist/${build}/entityos-${name}_*.deb`);
  // Node comes with the first build and is there for the second.
  const node = build === "1" ? "/dist/1/entityos-node_*.deb" : "";
  await machine.sh(`${INSTALL} ${node} ${files.join(" ")}`, { timeoutMs: TIMEOUT_MS });
}

/** Installs, configures and starts the registry. */
export async function installRegistry(machine: Machine): Promise<void> {
  await install(machine, "1", ["registry", "cli"]);
  const yaml = stringify({
    name: REGISTRY_NAME,
    register: { names: [machine.v4, machine.v6] },
    control: { names: [machine.v4, machine.v6] },
    allowNetworks: ["203.0.113.0/24", "2001:db8::/32"],
  });
  await machine.sh("cat >/etc/entityos-registry/registry.yaml", { input: yaml });
  await machine.sh("entityos-registry init && systemctl start entityos-registry");
}

/** What an agent's host is configured with. */
export const agentYaml = (machine: Machine, registry: Machine, operator: string): string =>
  stringify({
    name: machine.name,
    registry: {
      addresses: [`https://${registry.v4}:8444`],
      ca: "/etc/entityos-agent/ca.pem",
      certificate: "/etc/entityos-agent/agent.crt",
      key: "/etc/entityos-agent/agent.key",
    },
    terminator: { kind: "haproxy" },
    gate: {
      lanes: { ip: true },
      management: { ports: [22], networks: [`${operator}/32`] },
      newConnections: { perSecond: 10_000, burst: 10_000 },
    },
  });

/** Enrols the host: its keys are made there, the requests travel to the registry and certificates back. */
export async function enrol(machine: Machine, registry: Machine): Promise<void> {
  const { name, v4, v6 } = machine;
  await machine.sh(`entityos agent request ${name} --service --out /etc/entityos-agent`);
  const requests = await machine.sh("tar -C /etc/entityos-agent -cf - agent.csr service.csr | base64");
  const signed = await registry.sh(
    `mkdir -p /root/${name} && cd /root/${name} && base64 -d | tar -xf - &&
entityos agent enroll ${name} --csr agent.csr --service ${v4},${v6} --service-csr service.csr --out . >&2 &&
tar -cf - agent.crt service.crt ca.pem | base64`,
    { input: requests },
  );
  await machine.sh("base64 -d | tar -C /etc/entityos-agent -xf - --no-same-owner", { input: signed });
}

/** An application behind the terminator: Debian's own HAProxy service answers as one would, on the UNIX socket. */
export async function serveApplication(machine: Machine): Promise<void> {
  await machine.sh(
    `mkdir -p /etc/systemd/system/haproxy.service.d
printf '[Service]\\nRuntimeDirectory=entityos-application\\n' >/etc/systemd/system/haproxy.service.d/application.conf
cat >/etc/haproxy/haproxy.cfg
systemctl daemon-reload && systemctl restart haproxy`,
    {
      input: `defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend application
  bind unix@/run/entityos-application/http.sock mode 660 group entityos-agent
  http-request return status 200 content-type text/plain string "${machine.name} answers"
`,
    },
  );
}

/** What `entityos-agent status --json` says. */
export interface Status {
  readonly state: string;
  readonly revision: number;
  readonly version: string;
  readonly pid: number;
  readonly rules: number;
}

export const statusOf = async (machine: Machine): Promise<Status> => JSON.parse(await machine.sh("entityos-agent status --json"));

/** Resolves when the agent says that it is in this state. */
export const reaches = (machine: Machine, state: string): Promise<Status> =>
  waitFor(
    `${machine.name} to be ${state}`,
    async () => {
      const status = await statusOf(machine).catch(() => undefined);
      return status?.state === state ? status : undefined;
    },
    { timeoutMs: 30_000, everyMs: 100 },
  );
