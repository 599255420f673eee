import { sandbox } from "../../lib/sandbox.ts";
import { PATH, USER } from "../../lib/service.ts";

/** Enrolled is who has a certificate: before that, a host that merely has the package is left as it is. */
const ENROLLED = "/etc/entityos-agent/agent.crt";

/** What a terminator is started with, by the link that always names the latest generation. */
const HAPROXY_CONFIG = `${PATH.agentState}/terminator/current/haproxy.cfg`;
const NGINX_CONFIG = `${PATH.agentState}/terminator/current/nginx.conf`;

/** What every unit of the agent's user may do at most. */
const SANDBOX = sandbox(USER.agent);

/** Who changes this network namespace's packet filter. */
const FILTERS = `AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
StateDirectory=entityos-agent
StateDirectoryMode=0700`;

/** The rest of a unit that closes the host before any interface comes up, with nft alone. */
const EARLY = `RestrictAddressFamilies=AF_NETLINK
IPAddressDeny=any
MemoryDenyWriteExecute=yes
${FILTERS}
${SANDBOX}
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=sysinit.target
`;

/** Sets owner and mode of what an enrolment wrote, as root. */
const SETTLE = "+systemd-tmpfiles --create entityos-agent.conf";

/**
 * entityos-gate.service closes the gate before any interface comes up, without Node and without the agent: a host whose agent cannot
 * start is closed. A gate that stands is left alone.
 */
export const gateUnit = (): string => `[Unit]
Description=entityOS gate, closed until the agent opens it to whom it may
ConditionPathExists=${ENROLLED}
DefaultDependencies=no
After=local-fs.target systemd-sysusers.service systemd-tmpfiles-setup.service nftables.service
Before=network-pre.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${PATH.programs}/entityos-gate
${EARLY}`;

/**
 * entityos-floor.service holds the floor's rules in a table of its own that no other program can flush, whatever becomes of the agent: a
 * flush between an agent's death and its next start opens nothing. Without Node; the agent tells it of changes.
 */
export const floorUnit = (): string => `[Unit]
Description=entityOS floor: keeps the gate's ports closed while its tables are away
ConditionPathExists=${ENROLLED}
DefaultDependencies=no
After=local-fs.target systemd-sysusers.service systemd-tmpfiles-setup.service nftables.service entityos-gate.service
Before=network-pre.target
Wants=network-pre.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${PATH.programs}/entityos-floor
Restart=always
RestartSec=100ms
RuntimeDirectory=entityos-ground
RuntimeDirectoryMode=0700
${EARLY}`;

/**
 * The program of the floor unit: an nft that lives as long as the unit, with FIFOs for the agent. It has both ends of each open, so that
 * neither the agent's coming nor its going ends it.
 */
export const floorProgram = (
  folder: string = PATH.groundRuntime,
  rules = `${PATH.agentState}/${PATH.groundRulesName}`,
): string => `#!/bin/sh
# Holds the floor that the agent left for this host, and what it says later.
set -u
umask 077
export HOME=/nonexistent LC_ALL=C TERM=dumb
cd ${folder} && rm -f in out && mkfifo in out || exit 1
exec 3<>in 4<>out
if [ -e ${rules} ]; then
  # What is wrong with it is told in the journal; what nft says later is the agent's to read.
  nft -c -f ${rules}
  printf 'include "%s"\\n' ${rules} >&3
fi
exec stdbuf -oL nft -i <&3 >&4 2>&4
`;

/**
 * entityos-agent.service loads the last good state before the network comes up, and tells READY when the gate stands. Nothing stops it
 * at shutdown but the end of all processes: nftables.service flushes every table before, and the floor must hold until then.
 */
export const agentUnit = (): string => `[Unit]
Description=entityOS agent: keeps this host's gate as the registry wants it
ConditionPathExists=${ENROLLED}
DefaultDependencies=no
After=local-fs.target systemd-sysusers.service systemd-tmpfiles-setup.service nftables.service entityos-gate.service entityos-floor.service
Before=network-pre.target
Wants=network-pre.target entityos-gate.service entityos-floor.service entityos-terminator.service entityos-terminator-nginx.service
# Trying again never ends: the gate stands meanwhile.
StartLimitIntervalSec=0

[Service]
Type=notify
# systemd-notify(1) speaks for the agent: Node has no UNIX datagram sockets.
NotifyAccess=all
ExecStartPre=${SETTLE}
ExecStartPre=/usr/sbin/entityos-agent check
ExecStart=/usr/sbin/entityos-agent run
ExecReload=${SETTLE}
ExecReload=kill -HUP $MAINPID
# Read by root, seen by this service alone.
LoadCredential=agent.key:/etc/entityos-agent/agent.key
KillMode=mixed
Restart=always
RestartSec=1
TimeoutStartSec=90
TimeoutStopSec=15
WatchdogSec=30
# A hung agent has nothing to tell, and its memory holds a key.
WatchdogSignal=SIGKILL
RuntimeDirectory=entityos-agent
RuntimeDirectoryMode=0700
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
${FILTERS}
${SANDBOX}
# nft is started with a limit of its own (setrlimit, of @resources), through setpriv(1), which sets the capabilities that it has.
SystemCallFilter=~@privileged
SystemCallFilter=capset

[Install]
WantedBy=multi-user.target
`;

/** What both terminators have: no capability, for their ports are high, and four or three descriptors for each of terminator.maxConnections. */
const TERMINATOR = `KillMode=mixed
Restart=always
RestartSec=1
TimeoutStopSec=15
LimitNOFILE=524288
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
CapabilityBoundingSet=
PrivateUsers=yes
${SANDBOX}
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
`;

const terminatorHead = (name: string, config: string): string => `[Unit]
Description=entityOS terminator: ${name}, as the agent configures it
ConditionPathExists=${config}
After=network.target entityos-agent.service
StartLimitIntervalSec=0
`;

/** After a change of terminator.kind the one before still listens, with trust that nobody renews any more. */
const instead = (unit: string): string => `ExecStartPre=+-systemctl stop ${unit}.service`;

/**
 * entityos-terminator.service runs HAProxy as the agent configures it, by the same user and without any capability; the agent reloads it
 * through its master's socket. The agent's start wants it; without a configuration of the agent's it is skipped.
 */
export const terminatorUnit = (): string => `${terminatorHead("HAProxy", HAPROXY_CONFIG)}
[Service]
Type=notify
${instead("entityos-terminator-nginx")}
ExecStart=haproxy -Ws -S ${PATH.masterSocket},mode,600 -f ${HAPROXY_CONFIG}
# A reload starts the program anew, a newer one too, and hands the listeners over.
ExecReload=kill -USR2 $MAINPID
# What the program says when it is asked to end (SIGTERM).
SuccessExitStatus=143
RuntimeDirectory=entityos-terminator
RuntimeDirectoryMode=0700
${TERMINATOR}`;

/** entityos-terminator-nginx.service runs nginx in the place of HAProxy, likewise; the agent, of the same user, reloads it by a signal. */
export const nginxUnit = (): string => `${terminatorHead("nginx", NGINX_CONFIG)}
[Service]
Type=exec
${instead("entityos-terminator")}
ExecStartPre=nginx -t -q -e stderr -c ${NGINX_CONFIG}
ExecStart=nginx -e stderr -c ${NGINX_CONFIG}
ExecReload=nginx -t -q -e stderr -c ${NGINX_CONFIG}
ExecReload=kill -HUP $MAINPID
# A process id in each generation, by whose appearance the agent knows which one is served.
ReadWritePaths=${PATH.agentState}/terminator
MemoryDenyWriteExecute=yes
${TERMINATOR}`;

/** Drop-in of nftables.service, which flushes every table when it starts, stops and reloads: the gate is closed again each time. */
export const nftablesDropIn = (): string => `# Of package entityos-agent: a flush leaves the gate closed, also while no agent runs.
[Service]
ExecStartPost=-${PATH.programs}/entityos-gate
ExecReload=-${PATH.programs}/entityos-gate
ExecStopPost=-${PATH.programs}/entityos-gate
`;

/**
 * The program of the gate unit. Whoever made a table first keeps it: \`create\` refuses where one stands. Run by root, as in the drop-in,
 * it becomes the agent's user, who wrote the file.
 */
export const gateProgram = (): string => `#!/bin/sh
# Closes the gate where none stands: the one that the agent left for this host, else one that lets nobody in.
set -u
[ -e ${ENROLLED} ] || exit 0
if [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid=${USER.agent} --regid=${USER.agent} --clear-groups --inh-caps=-all,+net_admin --ambient-caps=-all,+net_admin "$0"
fi
for file in ${PATH.agentState}/${PATH.closedGateName} ${PATH.programs}/closed.nft; do
  [ -e "$file" ] || continue
  said=$(nft -f "$file" 2>&1) && exit 0
  case $said in *"File exists"*) exit 0 ;; esac
  printf '%s\\n' "$file cannot be loaded: $said" >&2
done
exit 1
`;

/** sysusers.d(5). */
export const agentUsers = (): string => `u ${USER.agent} - "entityOS agent" ${PATH.agentState}\n`;

/** tmpfiles.d(5): an enrolment may have made the folder for root alone; the terminator reads the service's key. */
export const agentFolders = (): string => `d /etc/entityos-agent 0755 root root -
z ${PATH.serviceCertificate.replace(/\.crt$/, ".key")} 0640 root ${USER.agent} -
`;
