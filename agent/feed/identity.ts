import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PATH } from "../../lib/service.ts";
import type { AgentConfig } from "../config.ts";
import { followedRoots } from "../pins.ts";

/** Where the agent's own certificate stands: in the configured file, and a renewed one for the same key in its state folder. */
export type Identity = AgentConfig["registry"] & {
  readonly renewed?: string;
  /** Roots that are followed beside the pinned one. */
  readonly roots?: string;
};

export const identityOf = (config: Pick<AgentConfig, "registry" | "stateDir">): Identity => ({
  ...config.registry,
  renewed: join(config.stateDir, PATH.agentRenewedName),
  roots: join(config.stateDir, PATH.agentRootsName),
});

/** When the certificate ends that the next connection shows, integer milliseconds. @throws the file system's error */
export const identityEnd = (identity: Identity): number => endOf(readIdentity(identity).cert);

/** What a connection to control is made with. The files are read each time, so what was renewed is used at the next connection. */
export function readIdentity(identity: Identity): { readonly ca: (Buffer | string)[]; readonly cert: Buffer; readonly key: Buffer } {
  const [ca, cert, key] = [readFileSync(identity.ca), readFileSync(identity.certificate), readFileSync(identity.key)];
  const renewed = readRenewed(identity.renewed, key);
  const newer = renewed !== null && endOf(renewed) >= endOf(cert) ? renewed : cert;
  const followed = identity.roots === undefined ? [] : followedRoots(identity.roots, ca.toString());
  return { ca: [ca, ...followed], cert: newer, key };
}

const endOf = (pem: Buffer): number => Date.parse(new X509Certificate(pem).validTo);

/** Null when there is none, or it is of another key: an operator enrolled the agent anew since. */
function readRenewed(file: string | undefined, key: Buffer): Buffer | null {
  if (file === undefined) return null;
  try {
    const pem = readFileSync(file);
    return new X509Certificate(pem).checkPrivateKey(createPrivateKey(key)) ? pem : null;
  } catch {
    return null;
  }
}
