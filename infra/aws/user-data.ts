import { admitProgram, agentBoot, closedUntilGate, nobodyElse } from "./boot/agent.ts";
import { aroundFiles, aroundTaken } from "./boot/around.ts";
import { type BootFile, type BootRole, type UserDataInput, word } from "./boot/input.ts";
import { METADATA_SERVICE, METADATA_TABLE, metadataFiles } from "./boot/metadata.ts";
import { ROOT_KEY_MEMORY, registryBoot, rootKeyProgram, secretTool } from "./boot/registry.ts";
import { bucketTools, DONE, FOLDER, TOOLS } from "./boot/tools.ts";

/** EC2's instance metadata. */
export const METADATA = "http://169.254.169.254";
/** EC2 takes no more, bytes. */
export const MAX_USER_DATA = 16_384;

const PROGRAM = "/usr/local/sbin/entityos-first-boot";
const END = "END_OF_ENTITYOS_FILE";

/**
 * What a machine does when it first starts: a shell script for cloud-init. It writes files and a unit, and the unit tries until all
 * of it is done: packages by checksum from the bucket, then what the role needs. Nothing in it is secret; keys are made on the
 * machine, or read from Secrets Manager with the instance's own role.
 * @throws RangeError for what would not be one word of the shell
 */
export function userData(input: UserDataInput): string {
  const { role } = input;
  const files: readonly BootFile[] = [
    ...metadataFiles(new URL(input.metadata).hostname, role.kind === "registry" && role.signsAtAws),
    ...aroundFiles,
    ...input.files,
    { path: TOOLS, mode: "0644", text: bucketTools(input) + (role.kind === "registry" ? secretTool(role.secrets) : "") },
    ...operatorPrograms(role),
    { path: PROGRAM, mode: "0755", text: program(input) },
    { path: "/etc/systemd/system/entityos-first-boot.service", mode: "0644", text: unit(role) },
  ];
  return `#!/bin/sh
# entityOS gate: makes this machine ${word(input.name)}. No secret is in here.
set -eu
umask 022
${files.map(writeFile).join("")}systemctl daemon-reload
${aroundTaken}systemctl enable --now --no-block ${METADATA_SERVICE} entityos-first-boot.service
`;
}

/** What operators run on the registry. */
function operatorPrograms(role: BootRole): readonly BootFile[] {
  if (role.kind !== "registry") return [];
  const programs: readonly (readonly [string, string])[] = [
    ["entityos-admit", admitProgram],
    ...(role.rootKey === null ? [] : [["entityos-root-key", rootKeyProgram(role.rootKey)] as const]),
  ];
  return programs.map(([name, text]) => ({ path: `/usr/local/sbin/${name}`, mode: "0755", text }));
}

function writeFile({ path, mode, text }: BootFile): string {
  if (text.includes(END)) throw new RangeError(`Cannot write ${path}: it holds the line that ends files`);
  const whole = text.endsWith("\n") ? text : `${text}\n`;
  return `install -D -m ${mode} /dev/stdin ${word(path)} <<'${END}'\n${whole}${END}\n`;
}

/** It runs at each boot, and looks whether this is still the instance that all of it was done for. */
const unit = (role: BootRole): string => `[Unit]
Description=entityOS: makes this machine what it is to be
After=network-online.target cloud-init.service ${METADATA_SERVICE}
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=${PROGRAM}
${role.kind === "registry" && role.rootKey?.atHand === true ? `# When it was killed.\nExecStopPost=-umount -l ${ROOT_KEY_MEMORY}\n` : ""}Restart=on-failure
RestartSec=15

[Install]
WantedBy=multi-user.target
`;

/** Every step looks whether it was done: the unit starts the program again until it ends well. */
function program(input: UserDataInput): string {
  const { role } = input;
  return `#!/bin/sh
set -eu
umask 077
export DEBIAN_FRONTEND=noninteractive
. ${TOOLS}
${role.kind === "agent" ? closedUntilGate : ""}for need in /usr/bin/curl /etc/ssl/certs/ca-certificates.crt; do
  [ -e "$need" ] || { apt-get -o DPkg::Lock::Timeout=600 update && apt-get -o DPkg::Lock::Timeout=600 -y --no-install-recommends install curl ca-certificates; }
done
mkdir -p ${FOLDER}/packages
instance=$(metadata instance-id)
[ "$(cat ${DONE} 2>/dev/null)" != "$instance" ] || exit 0
${role.kind === "agent" ? nobodyElse : ""}cd ${FOLDER}/packages
for line in ${input.packages.map(({ file, sha256 }) => `${word(sha256)}:${word(file)}`).join(" ")}; do
  sum=$(expr "$line" : '\\([^:]*\\):')
  file=$(expr "$line" : '[^:]*:\\(.*\\)')
  echo "$sum  $file" | sha256sum --status -c 2>/dev/null && continue
  fetch "packages/$file" "$file.part"
  echo "$sum  $file.part" | sha256sum --status -c || { echo "$file is not what it is to be: its checksum is another" >&2; exit 1; }
  mv "$file.part" "$file"
done
${role.kind === "registry" ? registryBoot.before(role) : ""}if [ ! -e ${FOLDER}/installed ]; then
  chmod 0755 ${FOLDER} . && chmod 0644 ./*.deb
  apt-get -o DPkg::Lock::Timeout=600 update || echo "The package lists could not be renewed" >&2
  apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold -y --no-install-recommends install ${[
    ...input.packages.map(({ file }) => `./${word(file)}`),
    ...input.debian.map(word),
  ].join(" ")}
  rm -f /etc/entityos-*/*.dpkg-dist
  systemctl restart ${METADATA_SERVICE}
  for try in 1 2 3 4 5 6 7 8 9; do ! nft list table ${METADATA_TABLE} >/dev/null 2>&1 || break; sleep 1; done
  nft list table ${METADATA_TABLE} >/dev/null
  touch ${FOLDER}/installed
fi
${role.kind === "registry" ? registryBoot.after(role) : agentBoot(input.name)}echo "$instance" >${DONE}
`;
}
