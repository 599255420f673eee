import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { URN } from "../lib/service.ts";
import type { AgentConfig } from "./config.ts";

/** "PATH cannot be read (ENOENT)": whether it is not there or may not be read is for another to mend. */
export const unreadable = (path: string, error: unknown): string =>
  `${path} cannot be read (${error instanceof Error && "code" in error ? String(error.code) : String(error)})`;

/**
 * All that is wrong with the agent's own files, one sentence each, with the path of the setting.
 * @param nowMs wall clock; null leaves time out: an agent whose certificate ran out still keeps the gate
 */
export function credentialProblems({ name, registry }: Pick<AgentConfig, "name" | "registry">, nowMs: number | null): string[] {
  const problems: string[] = [];
  const read = <T>(setting: "ca" | "certificate" | "key", parse: (text: string) => T): T | null => {
    const path = registry[setting];
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      problems.push(`registry.${setting}: ${unreadable(path, error)}`);
      return null;
    }
    try {
      return parse(text);
    } catch {
      problems.push(`registry.${setting}: ${path} holds no ${setting === "key" ? "private key" : "certificate"} in PEM form`);
      return null;
    }
  };
  const root = read("ca", (text) => new X509Certificate(text));
  const own = read("certificate", (text) => new X509Certificate(text));
  const key = read("key", (text) => createPrivateKey(text));
  if (root !== null && !root.ca) problems.push(`registry.ca: ${registry.ca} is no CA's certificate`);
  if (own !== null && key !== null && !own.checkPrivateKey(key))
    problems.push(`registry.key: ${registry.key} is not the key of ${registry.certificate}`);
  if (own !== null && !(own.subjectAltName ?? "").split(", ").includes(`URI:${URN.agent}${name}`))
    problems.push(`registry.certificate: ${registry.certificate} is not the certificate of agent '${name}'`);
  if (own !== null && nowMs !== null && nowMs >= Date.parse(own.validTo))
    problems.push(`registry.certificate: ${registry.certificate} ran out at ${own.validTo}`);
  return problems;
}
