import { join } from "node:path";
import { App } from "cdktf";
import { ConfigError } from "../lib/config.ts";
import { EXIT } from "../lib/service.ts";
import { synthMetal } from "./metal/app.ts";
import { NetworkStack } from "./network.ts";
import { loadSettings } from "./settings.ts";

/** synth [SETTINGS.yaml]: writes every stack of one environment as Terraform JSON to CDKTF_OUTDIR, cdktf.out by default. */
function main(): number {
  const file = process.argv[2] ?? process.env.ENTITYOS_INFRA ?? join(import.meta.dirname, "environments/example.yaml");
  try {
    const settings = loadSettings(file);
    // Traces in the metadata would carry paths of this machine.
    const app = new App({ stackTraces: false });
    new NetworkStack(app, `${settings.environment}-network`, settings);
    app.synth();
    process.stdout.write(`${app.outdir}\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT.config;
  }
}

/** metal SETTINGS.yaml, or ENTITYOS_METAL: the hosts that are there, which are read first. */
async function metal(file: string): Promise<number> {
  try {
    process.stdout.write(`${await synthMetal(file)}\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT.config;
  }
}

const metalSettings = process.argv[2] === "metal" ? process.argv[3] : process.env.ENTITYOS_METAL;
process.exitCode = metalSettings === undefined ? main() : await metal(metalSettings);
