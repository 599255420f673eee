import { PATH } from "../../../lib/service.ts";
import { word } from "./input.ts";
import { DONE, INSTANCE, TOOLS } from "./tools.ts";

const ETC = "/etc/entityos-agent";
/** Once in each boot. */
const TOLD = "/run/entityos-first-boot-told";
const TABLE = "inet entityos_first_boot";

/**
 * From its first minute until its own gate stands a host behind the gate takes nothing in that it did not ask for, whatever goes wrong
 * on the way; operators come by Session Manager, which the host asks for. Without nft nothing listens yet either.
 */
export const closedUntilGate = `
close_host() {
  if ! command -v nft >/dev/null; then
    echo "There is no nft before the packages are installed: what is not listened for is refused, not dropped" >&2
    return
  fi
  nft -f - <<'END_OF_RULES'
add table ${TABLE}
delete table ${TABLE}
table ${TABLE} {
  chain input {
    type filter hook prerouting priority mangle; policy drop;
    iif lo accept
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, packet-too-big } accept
    udp sport 67 udp dport 68 accept
    udp sport 547 udp dport 546 accept
  }
  chain output {
    type filter hook output priority filter; policy accept;
    icmp type { destination-unreachable, time-exceeded, parameter-problem } drop
    icmpv6 type { destination-unreachable, time-exceeded, parameter-problem } drop
  }
}
END_OF_RULES
}
[ -e ${DONE} ] || close_host
`;

/**
 * A disk that was another instance's, by its image or a snapshot, has that one's keys: they are none of this one's, which begins anew
 * before the name is used twice.
 */
export const nobodyElse = `if [ -e ${INSTANCE} ] && [ "$(cat ${INSTANCE})" != "$instance" ]; then
  echo "This disk was that of $(cat ${INSTANCE}): $instance makes keys of its own" >&2
  close_host
  systemctl stop entityos-agent.service 2>/dev/null || true
  rm -rf ${ETC}/agent.key ${ETC}/agent.c?? ${ETC}/service.key ${ETC}/service.c?? ${PATH.agentState}/*
fi
echo "$instance" >${INSTANCE}
`;

/**
 * A host behind the gate: makes its keys, leaves its requests in the bucket, and takes the certificates that an operator had signed.
 * The folder is named by the instance, so that a machine made anew never takes what was signed for the one before. The root is in the
 * user data, and what comes back must fit it and the key (\`check\`), or the host asks on.
 */
export const agentBoot = (name: string): string => `
place=hosts/${word(name)}/$instance
# What it writes last.
[ -e ${ETC}/service.csr ] || entityos agent request ${word(name)} --service --replace --out ${ETC}
if [ ! -e ${ETC}/agent.crt ]; then
  new=$(mktemp -d)
  trap 'rm -rf "$new"' EXIT
  if { fetch "$place/service.crt" "$new/service.crt" && fetch "$place/agent.crt" "$new/agent.crt"; } 2>"$new/said"; then
    install -m 0644 "$new/service.crt" ${ETC}/service.crt
    install -m 0644 "$new/agent.crt" ${ETC}/agent.crt
    # Those of keys that are no more, or of another root, are none.
    entityos-agent check || rm -f ${ETC}/agent.crt
  fi
fi
if [ ! -e ${ETC}/agent.crt ]; then
  wait="Waiting for an operator. On the registry: entityos-admit $place NAMES $(requests_digest ${ETC})"
  # The console is what EC2 shows of this instance and of no other: root alone writes there.
  [ -e ${TOLD} ] || { echo "$wait" >/dev/console && touch ${TOLD}; } || true
  for request in agent.csr service.csr; do store ${ETC}/$request "$place/$request"; done
  echo "$wait" >&2
  exit 75
fi
systemctl start entityos-agent.service
! command -v nft >/dev/null || nft delete table ${TABLE} 2>/dev/null || true
`;

/**
 * What operators run on the registry to let a host in: signs what waits in the bucket, when it is what the host itself says that it asked
 * for, and puts the certificates beside it. Who may write into the bucket is believed nothing.
 */
export const admitProgram = `#!/bin/sh
# entityos-admit hosts/NAME/INSTANCE NAME[,NAME…] DIGEST: enrols the host whose requests wait there; its service's certificate is for
# the names. DIGEST is of the requests, as that instance's console or journal shows it.
set -eu
umask 077
[ $# = 3 ] || {
  echo "usage: entityos-admit hosts/NAME/INSTANCE NAME[,NAME…] DIGEST" >&2
  echo "DIGEST is in the instance's journal (entityos-first-boot) and in: aws ec2 get-console-output --latest --output text --instance-id INSTANCE" >&2
  exit 64
}
place=$1
names=$2
name=$(expr "$place" : 'hosts/\\([a-z0-9.-]*\\)/i-[0-9a-f]*$') || { echo "entityos-admit: '$place' is not hosts/NAME/INSTANCE" >&2; exit 64; }
. ${TOOLS}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for request in agent.csr service.csr; do fetch "$place/$request" "$request"; done
digest=$(requests_digest .)
[ "$digest" = "$3" ] || { echo "entityos-admit: the requests in $place are others, of digest $digest: nobody is let in" >&2; exit 65; }
entityos agent enroll "$name" --csr agent.csr --service "$names" --service-csr service.csr --replace --out .
# The agent's last: it is what the host waits for.
store service.crt "$place/service.crt"
store agent.crt "$place/agent.crt"
echo "$name is enrolled by the requests of digest $digest: within a minute its gate stands"
`;
