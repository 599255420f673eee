import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CertificateLife, lifeOf } from "../lib/certificate-life.ts";
import { PATH } from "../lib/service.ts";
import { type AgentConfig, serviceKey } from "./config.ts";

/** Where the service's certificate stands: in the configured file, and a renewed one for the same key in the agent's state folder. */
export interface ServiceFiles {
  readonly configured: string;
  readonly key: string;
  readonly renewed: string;
}

/** Null where nothing of ours ends TLS. */
export const serviceFiles = ({ zone, terminator, stateDir }: Pick<AgentConfig, "zone" | "terminator" | "stateDir">): ServiceFiles | null =>
  zone === "open" || terminator.kind === "none"
    ? null
    : { configured: terminator.certificate, key: serviceKey(terminator), renewed: join(stateDir, PATH.serviceRenewedName) };

/** The file that clients are shown: the renewed one while it is for the configured key and ends no sooner than the configured one. */
export function shownFile({ configured, key, renewed }: ServiceFiles): string {
  let next: X509Certificate;
  try {
    next = new X509Certificate(readFileSync(renewed));
    if (!next.checkPrivateKey(createPrivateKey(readFileSync(key)))) return configured;
  } catch {
    return configured;
  }
  return Date.parse(next.validTo) >= endOf(configured) ? renewed : configured;
}

/** From when to when the certificate counts that clients are shown; null when the file holds none, which the terminator then says. */
export function shownLife(files: ServiceFiles): CertificateLife | null {
  try {
    return lifeOf(new X509Certificate(readFileSync(shownFile(files))));
  } catch {
    return null;
  }
}

const endOf = (file: string): number => Date.parse(new X509Certificate(readFileSync(file)).validTo);
