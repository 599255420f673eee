import { PATH, USER } from "../../lib/service.ts";

const start = (program: string, options = ""): string =>
  `exec ${PATH.programs}/node --disable-warning=ExperimentalWarning ${options}${PATH.programs}/${program}.mjs "$@"\n`;
const head = (program: string): string =>
  `#!/bin/sh\n# Starts ${program} on the Node of package entityos-node. exec keeps pid and signals.\n`;

export const cliLauncher = (): string => `${head("entityos")}${start("entityos")}`;

/** The heap is kept small, as in bin/entityos-agent. */
const SMALL_HEAP = "--max-semi-space-size=4 --heap-growing-percent=20 ";

export const agentLauncher = (): string => `${head("entityos-agent")}${start("entityos-agent", SMALL_HEAP)}`;

/** What root starts by hand makes files of the service's user, whom the service runs as. */
export const registryLauncher =
  (): string => `${head("entityos-registry")}# Root becomes the service's user, so that what init makes is the service's.
if [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid=${USER.registry} --regid=${USER.registry} --init-groups "$0" "$@"
fi
${start("entityos-registry")}`;
