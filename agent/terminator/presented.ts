import { readFileSync, symlinkSync } from "node:fs";
import { writeFileAtomic } from "../../lib/file.ts";
import { serviceKey, type TerminatorConfig } from "../config.ts";
import type { Layout } from "./layout.ts";

/**
 * The service's certificate as clients are shown it: where there are several roots, what ties them together goes behind its chain, so
 * that who pinned any of them finds the way up. With one root the configured file is shown itself.
 */
export function presentCertificate(terminator: TerminatorConfig, layout: Layout, crosses: readonly string[]): TerminatorConfig {
  if (crosses.length === 0) return terminator;
  const own = readFileSync(terminator.certificate, "utf8");
  const missing = crosses.filter((cross) => !own.includes(cross.trim()));
  const certificate = layout.service;
  writeFileAtomic(certificate, `${own.trimEnd()}\n${missing.join("")}`);
  symlinkSync(serviceKey(terminator), serviceKey({ ...terminator, certificate }));
  return { ...terminator, certificate };
}
