import { X509Certificate } from "node:crypto";
import { dirname } from "node:path";
import { PATH, URN, USER } from "../../lib/service.ts";
import { DELIVERY } from "./apt.ts";
import { AGENT_FOLDER } from "./configurations.ts";
import { HostError } from "./errors.ts";
import { LOCK, lockedBy } from "./lock.ts";
import { RECORD } from "./observed.ts";
import type { Remote } from "./ssh.ts";
import { PACKAGES_MS } from "./steps.ts";

/** Who is removed, and how. */
export interface Removal {
  readonly name: string;
  readonly remote: Remote;
  /** Null for the registry's own host. */
  readonly registry: Remote | null;
  /** Who removes, in words for another one that would at the same time. */
  readonly who: string;
  /** Registries' hosts that may be purged: what the settings say. */
  readonly purge: readonly string[];
  readonly say: (words: string) => void;
}

/**
 * Gives a host back as it was. An agent's certificate is revoked first, so that no rotation waits for it; where that cannot be done, the
 * host is cleaned all the same: its key goes with it.
 * @throws HostError of the step removal; would_purge_registry, before anything is changed, where the settings do not allow that
 */
export async function removeHost({ name, remote, registry, who, purge, say }: Removal): Promise<void> {
  if (registry !== null) await revoke(name, await fingerprintOf(name, remote), registry, say);
  else if (!purge.includes(name)) throw new HostError(name, "removal", "would_purge_registry", purgeWords(name));
  await purgeHost(lockedBy(remote, who));
}

/** What an operator has to do for a registry to be purged, or not to be. */
export const purgeWords = (name: string): string =>
  `with it go Storage and the CAs' keys. To keep them, name the host ${name} and its role registry; to purge them, say purge: [${name}] in the settings`;

async function revoke(name: string, fingerprint: string | null, registry: Remote, say: (words: string) => void): Promise<void> {
  if (fingerprint === null) {
    say(`no certificate of it is revoked, for it shows none of its own: see 'entityos cert list', and whether ${name} has one there`);
    return;
  }
  try {
    await registry.sh("removal", 'entityos cert revoke "$2" --reason cessationOfOperation >&2', { words: [fingerprint] });
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    say(`its certificate ${fingerprint} is not revoked: ${error.message}`);
  }
}

/**
 * Of the certificate that the agent shows: the renewed one where there is one. Null where there is none, or where it is somebody else's:
 * a host that was broken into must not have another one's revoked.
 */
export async function fingerprintOf(name: string, remote: Pick<Remote, "sh">): Promise<string | null> {
  const files = `${PATH.agentState}/${PATH.agentRenewedName} ${AGENT_FOLDER}/agent.crt`;
  const pem = await remote.sh("removal", `for file in ${files}; do [ ! -f "$file" ] || { cat "$file"; exit 0; }; done`);
  try {
    const certificate = new X509Certificate(pem);
    if (certificate.subjectAltName !== `URI:${URN.agent}${name}`) return null;
    return certificate.fingerprint256.replaceAll(":", "").toLowerCase();
  } catch {
    return null;
  }
}

/**
 * Takes everything of ours away: programs, configuration, keys, state, users, and the gate, so that the host is as before. What Debian's
 * own packages came along stay.
 */
async function purgeHost(remote: Remote): Promise<void> {
  await remote.sh(
    "removal",
    `export DEBIAN_FRONTEND=noninteractive
set -- $(dpkg-query -W -f '\${Package}\\n' 'entityos-*' 2>/dev/null || true)
[ $# = 0 ] || apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 purge "$@" >&2 </dev/null
rm -rf ${LOCK} ${dirname(RECORD)} ${DELIVERY} ${AGENT_FOLDER} ${PATH.agentState} ${PATH.registryState}
if getent passwd ${USER.agent} ${USER.registry} >&2; then echo 'their users are still there' >&2; exit 1; fi`,
    { timeoutMs: PACKAGES_MS },
  );
}
