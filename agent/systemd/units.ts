import { PATH, USER } from "../../lib/service.ts";

/** Enrolled is who has a key: before that, a host that merely has the package is left as it is. */
const ENROLLED = "/etc/entityos-agent/agent.key";

/** What both units may do: change this network namespace's packet filter, and nothing else beyond an ordinary user. */
const SANDBOX = `User=${USER.agent}
Group=${USER.agent}
UMask=0077
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
StateDirectory=entityos-agent
StateDirectoryMode=0700
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
KeyringMode=private
DevicePolicy=closed
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service`;

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
RestrictAddressFamilies=AF_NETLINK
IPAddressDeny=any
MemoryDenyWriteExecute=yes
${SANDBOX}
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=sysinit.target
`;

/**
 * entityos-agent.service loads the last good state before the network comes up, and tells READY when the gate stands. Nothing stops it
 * at shutdown but the end of all processes: nftables.service flushes every table before, and the floor must hold until then.
 */
export const agentUnit = (): string => `[Unit]
Description=entityOS agent: keeps this host's gate as the registry wants it
ConditionPathExists=${ENROLLED}
DefaultDependencies=no
After=local-fs.target systemd-sysusers.service systemd-tmpfiles-setup.service nftables.service entityos-gate.service
Before=network-pre.target
Wants=network-pre.target entityos-gate.service
# Trying again never ends: the gate stands meanwhile.
StartLimitIntervalSec=0

[Service]
Type=notify
# systemd-notify(1) speaks for the agent: Node has no UNIX datagram sockets.
NotifyAccess=all
ExecStartPre=/usr/sbin/entityos-agent check
ExecStart=/usr/sbin/entityos-agent run
# Read by root, seen by this service alone.
LoadCredential=agent.key:${ENROLLED}
Restart=always
RestartSec=1
TimeoutStartSec=90
TimeoutStopSec=15
WatchdogSec=30
# A hung agent has nothing to tell, and its memory holds a key.
WatchdogSignal=SIGKILL
LimitCORE=0
RuntimeDirectory=entityos-agent
RuntimeDirectoryMode=0700
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
${SANDBOX}
# @resources stays: the watching nft is started with a limit of its own (setrlimit).
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
`;

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

/** tmpfiles.d(5): the folder of the configuration may have been made by an enrolment, for root alone. */
export const agentFolders = (): string => `d /etc/entityos-agent 0755 root root -\n`;
