import { chmodSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "..");

/** Every program, and the source it starts from. */
const PROGRAMS = {
  entityos: "registry/cli/main.ts",
  "entityos-agent": "agent/main.ts",
  "entityos-registry": "registry/main.ts",
} as const;

/** What CommonJS packages inside the bundle ask for: Node's own modules, by require. */
const BANNER =
  '#!/usr/bin/env -S node --disable-warning=ExperimentalWarning\nimport { createRequire as eosRequire } from "node:module"; const require = eosRequire(import.meta.url);';

/** Bundles each program into DIST/NAME.mjs, one file that Node 24 runs alone. ws's native helpers are optional and left out. */
async function main(dist: string): Promise<void> {
  rmSync(dist, { recursive: true, force: true });
  for (const [name, entry] of Object.entries(PROGRAMS)) {
    const outfile = join(dist, `${name}.mjs`);
    await build({
      entryPoints: [join(ROOT, entry)],
      // The names in the bundle are the same wherever it is built from.
      absWorkingDir: ROOT,
      outfile,
      bundle: true,
      platform: "node",
      target: "node24",
      format: "esm",
      banner: { js: BANNER },
      external: ["bufferutil", "utf-8-validate"],
      legalComments: "eof",
      logLevel: "warning",
    });
    chmodSync(outfile, 0o755);
    process.stdout.write(`${outfile}  ${Math.round(statSync(outfile).size / 1024)} kB\n`);
  }
}

await main(process.argv[2] ?? join(ROOT, "dist"));
