import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { App } from "cdktf";
import { ConfigError } from "../../lib/config.ts";
import { writeEnvironment } from "./environment.ts";
import { findings } from "./forbidden/table.ts";
import type { AwsSettings } from "./form.ts";
import { listing } from "./listing.ts";
import { missingPackages } from "./packages.ts";
import { countRows, reviewPage } from "./review.ts";
import { loadAws } from "./settings.ts";
import { readSynthesis, removeStale, type Synthesis } from "./synthesis.ts";

/** Writes environments as Terraform's JSON. @param outdir cdktf's own choice where it is left out */
export function synthesise(
  environments: readonly AwsSettings[],
  outdir?: string,
): { readonly outdir: string; readonly syntheses: readonly Synthesis[] } {
  // Traces in the metadata would carry paths of this machine.
  const app = new App({ stackTraces: false, ...(outdir === undefined ? {} : { outdir }) });
  const written = environments.map((settings) => ({ settings, parts: writeEnvironment(app, settings).map(({ part }) => part) }));
  app.synth();
  for (const { settings, parts } of written) removeStale(app.outdir, settings.environment, parts);
  return { outdir: app.outdir, syntheses: written.map(({ settings, parts }) => readSynthesis(app.outdir, settings, parts)) };
}

/**
 * Synthesises files' environments.
 * @returns what to print, and whatever of it must not be deployed
 * @throws ConfigError with every problem of every file
 */
export function synthAws(files: readonly string[]): { readonly text: string; readonly findings: readonly string[] } {
  const environments = all(files, loadAws);
  refuseTwice(files, environments);
  const { outdir, syntheses } = synthesise(environments);
  const rows = syntheses.flatMap(countRows);
  const width = Math.max(...rows.map(([stack]) => stack.length));
  const counts = rows.map(([stack, count]) => `${stack.padEnd(width)}  ${String(count).padStart(3)} resources\n`);
  const missing = [...new Set(environments.flatMap(missingPackages))];
  const notes = missing.length === 0 ? "" : `Needed before deploy, not there yet: ${missing.join(", ")}\n`;
  return { text: `${counts.join("")}${notes}${outdir}\n`, findings: syntheses.flatMap(findings) };
}

/** Writes a page for each environment, and the list of all that is in it. */
export function reviewAws(files: readonly string[], folder: string): void {
  const scratch = mkdtempSync(join(tmpdir(), "entityos-review-"));
  try {
    mkdirSync(folder, { recursive: true });
    for (const synthesis of synthesise(files.map(loadAws), join(scratch, "out")).syntheses) {
      const { environment } = synthesis.settings;
      writeFileSync(join(folder, `${environment}.md`), reviewPage(synthesis));
      writeFileSync(join(folder, `${environment}.txt`), listing(synthesis));
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Two files of one environment would write, and then deploy, each over the other. @throws ConfigError */
function refuseTwice(files: readonly string[], environments: readonly AwsSettings[]): void {
  const problems = environments.flatMap(({ environment }, index) => {
    const first = environments.findIndex((one) => one.environment === environment);
    return first < index ? [`${files[index]}: environment: ${environment} is what ${files[first]} is called already`] : [];
  });
  if (problems.length > 0) throw new ConfigError(files.map((file) => basename(file)).join(", "), problems);
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
