import { checkConfiguration } from "./check.ts";
import { currentGeneration, type GenerationContent, sweepGenerations, useGeneration, writeGeneration } from "./generation.ts";
import type { Layout } from "./layout.ts";
import { renderNginx } from "./nginx-config.ts";
import { NginxError, reloadNginx, servingNginx } from "./nginx-master.ts";
import { presentCertificate } from "./presented.ts";
import type { TerminatorSettings } from "./settings.ts";

export interface NginxFiles extends Pick<GenerationContent, "authorities" | "revocations"> {
  /** PEM of what ties several roots together. */
  readonly crosses: readonly string[];
}

/**
 * Writes a generation for nginx and has it taken.
 * @throws TerminatorRefusedError, NginxError when nginx refuses it, or gives it up: the last good one stays in force
 */
export async function serveFiles(config: TerminatorSettings, files: NginxFiles, signal: AbortSignal): Promise<void> {
  const { stateDir } = config;
  const last = currentGeneration(stateDir, "nginx");
  try {
    const layout = writeGeneration(stateDir, "nginx", {
      config: (own) => {
        const terminator = presentCertificate(config, own, files.crosses);
        return renderNginx({ ...config, terminator }, own, files.revocations !== null);
      },
      ...files,
      maps: null,
    });
    await checkConfiguration("nginx", layout, signal);
    useGeneration(stateDir, layout);
    await reloadNginx(stateDir, layout, signal);
  } catch (error) {
    // An nginx that starts anew would not take it either.
    if (error instanceof NginxError && last !== null) useGeneration(stateDir, last);
    throw error;
  } finally {
    sweep(stateDir, last);
  }
}

/** Leaves what nginx may read, or goes back to: tries that failed would fill the disk. */
function sweep(stateDir: string, last: Layout | null): void {
  const serving = servingNginx(stateDir).map(({ layout }) => layout);
  sweepGenerations(stateDir, [currentGeneration(stateDir, "nginx"), last, ...serving]);
}
