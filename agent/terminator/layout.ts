import { join } from "node:path";
import type { TerminatorKind } from "../config.ts";

/** Files of one generation of the terminator's configuration. A generation is made whole and then named by a link. */
export interface Layout {
  readonly folder: string;
  readonly config: string;
  /** CA certificates, PEM. */
  readonly authorities: string;
  /** CRLs of all of them, PEM. */
  readonly revocations: string;
  /** HAProxy: registered certificates, and those of them that were taken back since the file was written. */
  readonly certificates: string;
  readonly gone: string;
  /** HAProxy: which device holds which prefix. */
  readonly bindings: string;
  /** The service's certificate where more goes behind it than its own file has; its key is named beside it. */
  readonly service: string;
  /** nginx: who runs with this generation. */
  readonly pid: string;
  /** nginx: what its master says of this generation, and no word of a request. */
  readonly log: string;
}

const CONFIG_NAME: Readonly<Record<TerminatorKind, string>> = { haproxy: "haproxy.cfg", nginx: "nginx.conf" };

export const layoutOf = (folder: string, kind: TerminatorKind): Layout => ({
  folder,
  config: join(folder, CONFIG_NAME[kind]),
  authorities: join(folder, "ca.pem"),
  revocations: join(folder, "crl.pem"),
  certificates: join(folder, "certificates.map"),
  gone: join(folder, "gone.map"),
  bindings: join(folder, "bindings.map"),
  service: join(folder, "service.crt"),
  pid: join(folder, "nginx.pid"),
  log: join(folder, "nginx.log"),
});

/** Below the agent's state: the link that the terminator is started with, and the generations. */
export const terminatorFolder = (stateDir: string): string => join(stateDir, "terminator");
export const currentLink = (stateDir: string): string => join(terminatorFolder(stateDir), "current");
