import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { App } from "cdktf";
import { ConfigError } from "../../lib/config.ts";
import { writeEnvironment } from "./environment.ts";
import { findings } from "./forbidden/table.ts";
import type { AwsSettings } from "./form.ts";
import { missingPackages } from "./packages.ts";
import { countRows, reviewPage } from "./review.ts";
import { loadAws } from "./settings.ts";
import { readSynthesis, type Synthesis } from "./synthesis.ts";

/** Writes environments as Terraform's JSON. @param outdir cdktf's own choice where it is left out */
export function synthesise(
  environments: readonly AwsSettings[],
  outdir?: string,
): { readonly outdir: string; readonly syntheses: readonly Synthesis[] } {
  // Traces in the metadata would carry paths of this machine.
  const app = new App({ stackTraces: false, ...(outdir === undefined ? {} : { outdir }) });
  for (const settings of environments) writeEnvironment(app, settings);
  app.synth();
  return { outdir: app.outdir, syntheses: environments.map((settings) => readSynthesis(app.outdir, settings)) };
}

/**
 * Synthesises files' environments.
 * @returns what to print, and whatever of it must not be deployed
 * @throws ConfigError with every problem of every file
 */
export function synthAws(files: readonly string[]): { readonly text: string; readonly findings: readonly string[] } {
  const environments = all(files, loadAws);
  const { outdir, syntheses } = synthesise(environments);
  const rows = syntheses.flatMap(countRows);
  const width = Math.max(...rows.map(([stack]) => stack.length));
  const counts = rows.map(([stack, count]) => `${stack.padEnd(width)}  ${String(count).padStart(3)} resources\n`);
  const missing = [...new Set(environments.flatMap(missingPackages))];
  const notes = missing.length === 0 ? "" : `Needed before deploy, not there yet: ${missing.join(", ")}\n`;
  return { text: `${counts.join("")}${notes}${outdir}\n`, findings: syntheses.flatMap(findings) };
}

/** Writes a page for each environment. */
export function reviewAws(files: readonly string[], folder: string): void {
  const scratch = mkdtempSync(join(tmpdir(), "entityos-review-"));
  try {
    mkdirSync(folder, { recursive: true });
    for (const synthesis of synthesise(files.map(loadAws), join(scratch, "out")).syntheses)
      writeFileSync(join(folder, `${synthesis.settings.environment}.md`), reviewPage(synthesis));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Each file's, or every problem of all of them. @throws ConfigError */
function all<T>(files: readonly string[], read: (file: string) => T): T[] {
  const refused: ConfigError[] = [];
  const done = files.flatMap((file) => {
    try {
      return [read(file)];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      refused.push(error);
      return [];
    }
  });
  const [only, ...more] = refused;
  if (only !== undefined && more.length === 0) throw only;
  const problems = refused.flatMap((error) =>
    error.problems.map((problem) => `${error.message.split(":", 1)[0]?.replace("Cannot use ", "") ?? ""}: ${problem}`),
  );
  if (problems.length > 0) throw new ConfigError(files.map((file) => basename(file)).join(", "), problems);
  return done;
}
