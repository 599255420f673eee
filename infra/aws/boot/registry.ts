import { PATH, USER } from "../../../lib/service.ts";
import { type BootKey, type BootRole, type BootRootKey, word } from "./input.ts";
import { TOOLS } from "./tools.ts";

type RegistryRole = Extract<BootRole, { readonly kind: "registry" }>;

const PKI = `${PATH.registryState}/pki`;
const NODE = `${PATH.programs}/node`;
const OWNER = `-o ${USER.registry} -g ${USER.registry}`;
/** Memory that is never swapped, mounted while the root's key is at hand. */
export const ROOT_KEY_MEMORY = "/run/entityos-root-key";

/** The registry: its volume before the packages, its CAs' keys and its start after them. */
export const registryBoot = {
  /**
   * A volume that holds a file system is never made anew: what the registry keeps outlives its machine. Without it the machine still
   * boots, so that an operator reaches it, and the registry does not start: its unit asks for Storage.
   */
  before: ({ volume }: RegistryRole): string =>
    volume === null
      ? ""
      : `volume=${word(volume)}
tries=0
until [ -b "$volume" ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo "$volume is not there" >&2; exit 1; }
  sleep 5
done
if ! grep -q ' ${PATH.registryState} ' /etc/fstab; then
  # 2 is nothing found; everything else that is no file system is a fault, and no reason to write over it.
  blkid -p "$volume" >/dev/null && found=0 || found=$?
  case $found in
    0) ;;
    2) mkfs.ext4 -q -L entityos "$volume" ;;
    *) echo "$volume cannot be read" >&2; exit 1 ;;
  esac
  mkdir -p ${PATH.registryState}
  echo "$volume ${PATH.registryState} ext4 defaults,nodev,nosuid,noexec,nofail,x-systemd.device-timeout=60s 0 2" >>/etc/fstab
  systemctl daemon-reload
fi
mountpoint -q ${PATH.registryState} || mount ${PATH.registryState}
`,

  /** A volume of before may have been written by a user of another number: each machine gives its own. */
  after: ({ certificates, keys, rootKey }: RegistryRole): string => `
install -d -m 0700 ${OWNER} ${PATH.registryState} ${PKI}
chown -hR ${USER.registry}:${USER.registry} ${PATH.registryState}
${Object.entries(certificates)
  .map(
    ([name, pem]) =>
      `[ -e ${PKI}/${word(name)}.crt ] || install -m 0644 ${OWNER} /dev/stdin ${PKI}/${word(name)}.crt <<'END_OF_CERTIFICATE'\n${pem.trimEnd()}\nEND_OF_CERTIFICATE\n`,
  )
  .join("")}${keys.map(keyStep).join("")}${initStep(rootKey)}entityos-registry check
systemctl start entityos-registry.service
`,
} as const;

/** A shell function that reads a key as this instance, into a file of the registry's. */
export const secretTool = (secrets: string): string => `secret() { # ARN FILE
  signed secretsmanager -X POST -H 'X-Amz-Target: secretsmanager.GetSecretValue' -H 'Content-Type: application/x-amz-json-1.1' \\
    --data "{\\"SecretId\\":\\"$1\\"}" ${word(secrets)}/ |
    ${NODE} -e 'process.stdout.write(JSON.parse(require("fs").readFileSync(0, "utf8")).SecretString)' |
    install -m 0600 ${OWNER} /dev/stdin "$2.new"
  [ -s "$2.new" ] || { echo "$2 could not be read from Secrets Manager" >&2; exit 1; }
  mv "$2.new" "$2"
}
`;

/**
 * Runs a command with the root's key in its place: at the first boot, and for operators while the settings let the machine read the key. The
 * key is in memory that is never swapped, a link in its place; no disk, and so no snapshot, ever holds it.
 */
export const rootKeyProgram = ({ secret }: BootRootKey): string => `#!/bin/sh
# entityos-root-key COMMAND…: runs a command with the root's key in its place, and takes the key away again.
set -eu
umask 077
[ $# -gt 0 ] || { echo "usage: entityos-root-key COMMAND…" >&2; exit 64; }
. ${TOOLS}
take_away() {
  rm -f ${PKI}/root.key
  ! mountpoint -q ${ROOT_KEY_MEMORY} || { rm -f ${ROOT_KEY_MEMORY}/*; umount ${ROOT_KEY_MEMORY}; }
}
exec 9>${ROOT_KEY_MEMORY}.lock
flock -n 9 || { echo "entityos-root-key: another one is running" >&2; exit 75; }
trap take_away EXIT
trap 'exit 130' HUP INT TERM
# Of one that was killed.
take_away
mkdir -p ${ROOT_KEY_MEMORY}
mount -t ramfs -o mode=0700 ramfs ${ROOT_KEY_MEMORY}
chown ${USER.registry}: ${ROOT_KEY_MEMORY}
secret ${word(secret)} ${ROOT_KEY_MEMORY}/root.key
ln -s ${ROOT_KEY_MEMORY}/root.key ${PKI}/root.key
"$@" 9>&-
`;

const keyStep = ({ name, secret }: BootKey): string => `[ -e ${PKI}/${name}.key ] || secret ${word(secret)} ${PKI}/${name}.key\n`;

/** The root's key is asked for only where something is still to be signed with it; its list is what \`init\` signs last. */
const initStep = (rootKey: BootRootKey | null): string =>
  rootKey?.atHand === true
    ? `if [ -e ${PKI}/root.crl ]; then entityos-registry init; else entityos-root-key entityos-registry init; fi\n`
    : "entityos-registry init\n";
