import { X509Certificate } from "node:crypto";
import { PATH, USER } from "../../lib/service.ts";
import { AGENT_FOLDER } from "./configurations.ts";
import { HostError } from "./errors.ts";
import { RECORD } from "./observed.ts";
import type { Remote } from "./ssh.ts";
import { DELIVERY, PACKAGES_MS } from "./steps.ts";

/**
 * Gives a host back as it was. An agent's certificate is revoked first, so that no rotation waits for it; where that cannot be done, the
 * host is cleaned all the same: its key goes with it.
 * @param registry null for the registry's own host
 * @throws HostError of the step removal
 */
export async function removeHost(remote: Remote, registry: Remote | null, say: (words: string) => void): Promise<void> {
  const fingerprint = registry === null ? null : await fingerprintOf(remote);
  if (registry !== null && fingerprint !== null) {
    try {
      await registry.sh("removal", 'entityos cert revoke "$2" --reason cessationOfOperation >&2', { words: [fingerprint] });
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      say(`its certificate ${fingerprint} is not revoked: ${error.message}`);
    }
  }
  await purge(remote);
}

/** Of the certificate that the agent shows: the renewed one where there is one. Null where there is none. */
async function fingerprintOf(remote: Remote): Promise<string | null> {
  const files = `${PATH.agentState}/${PATH.agentRenewedName} ${AGENT_FOLDER}/agent.crt`;
  const pem = await remote.sh("removal", `for file in ${files}; do [ ! -f "$file" ] || { cat "$file"; exit 0; }; done`);
  try {
    return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
  } catch {
    return null;
  }
}

/**
 * Takes everything of ours away: programs, configuration, keys, state, users, and the gate, so that the host is as before. What Debian's
 * own packages came along stay.
 */
async function purge(remote: Remote): Promise<void> {
  await remote.sh(
    "removal",
    `export DEBIAN_FRONTEND=noninteractive
set -- $(dpkg-query -W -f '\${Package}\\n' 'entityos-*' 2>/dev/null || true)
[ $# = 0 ] || apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 purge "$@" >&2 </dev/null
rm -rf ${RECORD.replace(/\/[^/]*$/, "")} ${DELIVERY} ${AGENT_FOLDER} ${PATH.agentState} ${PATH.registryState}
if getent passwd ${USER.agent} ${USER.registry} >&2; then echo 'their users are still there' >&2; exit 1; fi`,
    { timeoutMs: PACKAGES_MS },
  );
}
