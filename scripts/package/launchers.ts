import { PATH, USER } from "../../lib/service.ts";

const start = (program: string): string =>
  `exec ${PATH.programs}/node --disable-warning=ExperimentalWarning ${PATH.programs}/${program}.mjs "$@"\n`;
const head = (program: string): string =>
  `#!/bin/sh\n# Starts ${program} on the Node of package entityos-node. exec keeps pid and signals.\n`;

export const cliLauncher = (): string => `${head("entityos")}${start("entityos")}`;

export const agentLauncher = (): string => `${head("entityos-agent")}${start("entityos-agent")}`;

/** What root starts by hand makes files of the service's user, whom the service runs as. */
export const registryLauncher =
  (): string => `${head("entityos-registry")}# Root becomes the service's user, so that what init makes is the service's.
if [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid=${USER.registry} --regid=${USER.registry} --init-groups "$0" "$@"
fi
${start("entityos-registry")}`;
