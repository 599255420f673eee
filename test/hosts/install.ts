import { join } from "node:path";
import { type AgentStatus, queryStatus } from "../../agent/status.ts";
import { PATH } from "../../lib/service.ts";
import { waitFor } from "../lab/wait.ts";
import type { Machine } from "./machine.ts";

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

/** Who deploys from elsewhere: on the one kind of host root, on the other an ordinary user with sudo. */
export async function letIn(machine: Machine, user: string, publicKey: string): Promise<void> {
  const home = user === "root" ? "/root" : `/home/${user}`;
  if (user !== "root") {
    await machine.sh(`useradd -m -s /bin/sh ${user} && echo '${user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/${user}`);
  }
  await machine.sh(`mkdir -p -m 700 ${home}/.ssh && cat >${home}/.ssh/authorized_keys && chown -R ${user}: ${home}/.ssh`, {
    input: publicKey,
  });
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
  http-request wait-for-body time 1h if METH_POST
  http-request return status 200 content-type text/plain string "${machine.name} answers"
`,
    },
  );
}

/** What the agent says of itself; no program is started to ask it. */
export const statusOf = (machine: Machine): Promise<AgentStatus> =>
  queryStatus(machine.path(join(PATH.agentRuntime, PATH.agentSocketName)));

/** Resolves when the agent says that it is in this state. */
export const reaches = (machine: Machine, state: string): Promise<AgentStatus> =>
  waitFor(
    `${machine.name} to be ${state}`,
    async () => {
      const status = await statusOf(machine).catch(() => undefined);
      return status?.state === state ? status : undefined;
    },
    { timeoutMs: 30_000, everyMs: 100 },
  );
