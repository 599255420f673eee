import { PATH, USER } from "../../../lib/service.ts";
import { type BootKey, type BootRole, type UserDataInput, word } from "./input.ts";
import { bucketTools } from "./tools.ts";

type RegistryRole = Extract<BootRole, { readonly kind: "registry" }>;

const PKI = `${PATH.registryState}/pki`;
const NODE = `${PATH.programs}/node`;

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

  /** The root's key, where it may be read, is there while \`init\` signs with it and no longer. */
  after: ({ secrets, certificates, keys }: RegistryRole): string => `
owner="-o ${USER.registry} -g ${USER.registry}"
install -d -m 0700 $owner ${PATH.registryState} ${PKI}
${Object.entries(certificates)
  .map(
    ([name, pem]) =>
      `[ -e ${PKI}/${word(name)}.crt ] || install -m 0644 $owner /dev/stdin ${PKI}/${word(name)}.crt <<'END_OF_CERTIFICATE'\n${pem.trimEnd()}\nEND_OF_CERTIFICATE\n`,
  )
  .join("")}${secretTool(secrets)}${keys.map(keyStep).join("")}entityos-registry init
${keys.some(({ name }) => name === "root") ? `rm -f ${PKI}/root.key\n` : ""}entityos-registry check
systemctl start entityos-registry.service
`,
} as const;

/** A shell function that reads a key as this instance, into a file of the registry's. */
const secretTool = (secrets: string): string => `secret() { # ARN FILE
  signed secretsmanager -X POST -H 'X-Amz-Target: secretsmanager.GetSecretValue' -H 'Content-Type: application/x-amz-json-1.1' \\
    --data "{\\"SecretId\\":\\"$1\\"}" ${word(secrets)}/ |
    ${NODE} -e 'process.stdout.write(JSON.parse(require("fs").readFileSync(0, "utf8")).SecretString)' |
    install -m 0600 -o ${USER.registry} -g ${USER.registry} /dev/stdin "$2.new"
  [ -s "$2.new" ] || { echo "$2 could not be read from Secrets Manager" >&2; exit 1; }
  mv "$2.new" "$2"
}
`;

/** What operators run on the registry while the settings let it read the root's key. */
export const rootKeyProgram = (
  input: Pick<UserDataInput, "bucket" | "metadata" | "region">,
  secrets: string,
  rootKey: string,
): string => `#!/bin/sh
# entityos-root-key COMMAND…: runs a command with the root's key in its place, and takes the key away again.
set -eu
umask 077
[ $# -gt 0 ] || { echo "usage: entityos-root-key COMMAND…" >&2; exit 64; }
${bucketTools(input)}${secretTool(secrets)}trap 'rm -f ${PKI}/root.key ${PKI}/root.key.new' EXIT
secret ${word(rootKey)} ${PKI}/root.key
"$@"
`;

/** The root's key is asked for only where something is still to be signed with it. */
function keyStep({ name, secret }: BootKey): string {
  const missing = name === "root" ? `[ -e ${PKI}/root.crl ]` : `[ -e ${PKI}/${name}.key ]`;
  return `${missing} || secret ${word(secret)} ${PKI}/${name}.key\n`;
}
