import { join } from "node:path";

/** Files of one generation of the terminator's configuration. A generation is made whole and then named by a link. */
export interface Layout {
  readonly folder: string;
  readonly config: string;
  /** CA certificates, PEM. */
  readonly authorities: string;
  /** CRLs of all of them, PEM. */
  readonly revocations: string;
  /** Registered certificates, and those of them that were taken back since the file was written. */
  readonly certificates: string;
  readonly gone: string;
  /** Which device holds which prefix. */
  readonly bindings: string;
}

export const layoutOf = (folder: string): Layout => ({
  folder,
  config: join(folder, "haproxy.cfg"),
  authorities: join(folder, "ca.pem"),
  revocations: join(folder, "crl.pem"),
  certificates: join(folder, "certificates.map"),
  gone: join(folder, "gone.map"),
  bindings: join(folder, "bindings.map"),
});

/** Below the agent's state: the link that HAProxy is started with, and the generations. */
export const terminatorFolder = (stateDir: string): string => join(stateDir, "terminator");
export const currentLink = (stateDir: string): string => join(terminatorFolder(stateDir), "current");
