import { readFileSync, symlinkSync } from "node:fs";
import { writeFileAtomic } from "../../lib/file.ts";
import { type AgentConfig, serviceKey, type TerminatorConfig } from "../config.ts";
import { serviceFiles, shownFile } from "../service-certificate.ts";
import type { Layout } from "./layout.ts";

/**
 * The service's certificate as clients are shown it: where there are several roots, what ties them together goes behind its chain, so
 * that who pinned any of them finds the way up. With one root the configured file is shown itself, while none was renewed.
 */
export function presentCertificate(
  config: Pick<AgentConfig, "zone" | "terminator" | "stateDir">,
  layout: Layout,
  crosses: readonly string[],
): TerminatorConfig {
  const { terminator } = config;
  const files = serviceFiles(config);
  const shown = files === null ? terminator.certificate : shownFile(files);
  if (crosses.length === 0 && shown === terminator.certificate) return terminator;
  const own = readFileSync(shown, "utf8");
  const missing = crosses.filter((cross) => !own.includes(cross.trim()));
  const certificate = layout.service;
  writeFileAtomic(certificate, `${own.trimEnd()}\n${missing.join("")}`);
  symlinkSync(serviceKey(terminator), serviceKey({ ...terminator, certificate }));
  return { ...terminator, certificate };
}
