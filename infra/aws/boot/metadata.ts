import { USER } from "../../../lib/service.ts";
import type { BootFile } from "./input.ts";

/** EC2's own, over IPv6. */
const METADATA_IPV6 = "fd00:ec2::254";
export const METADATA_TABLE = "inet entityos_metadata";
const PROGRAM = "/usr/local/sbin/entityos-metadata";
export const METADATA_SERVICE = "entityos-metadata.service";

/**
 * Whoever reaches an instance's metadata is the instance to AWS. So root alone reaches it, and where keys are in KMS the registry's own
 * user; containers, whose packets are forwarded, do not. The rules lie in a table that no other program can flush, as the floor does: an
 * nft that lives as long as the unit holds it.
 * @param metadata its IPv4 address
 * @param registry whether the registry's user is one of them
 */
export const metadataFiles = (metadata: string, registry: boolean): readonly BootFile[] => [
  { path: PROGRAM, mode: "0755", text: program(metadata, registry) },
  { path: `/etc/systemd/system/${METADATA_SERVICE}`, mode: "0644", text: UNIT },
];

/** Allowed is who is named: a packet whose sender cannot be told is dropped. */
const program = (metadata: string, registry: boolean): string => `#!/bin/sh
set -eu
umask 077
export HOME=/nonexistent LC_ALL=C TERM=dumb
cd "$RUNTIME_DIRECTORY"
users=0
${registry ? `! id=$(id -u ${USER.registry} 2>/dev/null) || users="0, $id"\n` : ""}cat >rules <<END
table ${METADATA_TABLE} {
  flags owner;
  chain asked {
    meta skuid { $users } accept
    meta l4proto tcp reject with tcp reset
    drop
  }
  chain output {
    type filter hook output priority filter - 20; policy accept;
    ip daddr ${metadata} jump asked
    ip6 daddr ${METADATA_IPV6} jump asked
  }
  chain forward {
    type filter hook forward priority filter - 20; policy accept;
    ip daddr ${metadata} drop
    ip6 daddr ${METADATA_IPV6} drop
  }
}
END
nft -c -f rules
rm -f in && mkfifo in
exec 3<>in
printf 'include "%s/rules"\\n' "$PWD" >&3
exec nft -i <&3 >/dev/null
`;

/** Nothing stops it at shutdown but the end of all processes. */
const UNIT = `[Unit]
Description=entityOS: this instance's metadata answers root alone
DefaultDependencies=no
ConditionPathExists=/usr/sbin/nft
After=local-fs.target systemd-sysusers.service systemd-tmpfiles-setup.service
Before=network-pre.target
Wants=network-pre.target
StartLimitIntervalSec=0

[Service]
ExecStart=${PROGRAM}
Restart=always
RestartSec=100ms
RuntimeDirectory=entityos-metadata
RuntimeDirectoryMode=0700

[Install]
WantedBy=sysinit.target
`;
