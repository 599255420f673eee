import { sandbox } from "../../lib/sandbox.ts";
import { PATH, USER } from "../../lib/service.ts";

/** entityos-registry.service: both roles, an ordinary user who may also listen below port 1024. */
export const registryUnit = (): string => `[Unit]
Description=entityOS registry: takes registrations, decides them, and tells every gate
After=network-online.target
Wants=network-online.target
# What init makes: before that there is nothing to serve.
ConditionPathExists=${PATH.registryState}/registry.sqlite
StartLimitIntervalSec=0

[Service]
Type=notify
# systemd-notify(1) speaks for the registry: Node has no UNIX datagram sockets.
NotifyAccess=all
ExecStartPre=/usr/sbin/entityos-registry check
ExecStart=/usr/sbin/entityos-registry serve
Restart=always
RestartSec=1
TimeoutStartSec=90
TimeoutStopSec=15
KillMode=mixed
LimitNOFILE=65536
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
StateDirectory=entityos-registry
StateDirectoryMode=0700
RuntimeDirectory=entityos-registry
RuntimeDirectoryMode=0700
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
${sandbox(USER.registry)}
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
`;

/** sysusers.d(5). */
export const registryUsers = (): string => `u ${USER.registry} - "entityOS registry" ${PATH.registryState}\n`;

/** tmpfiles.d(5): init works before the service ever ran. */
export const registryFolders = (): string => `d /etc/entityos-registry 0755 root root -
d ${PATH.registryState} 0700 ${USER.registry} ${USER.registry} -
`;
