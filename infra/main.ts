import { join } from "node:path";
import { ConfigError } from "../lib/config.ts";
import { EXIT } from "../lib/service.ts";
import { HostError } from "./metal/errors.ts";

const ENVIRONMENTS = ["production", "trial", "single-zone"].map((name) => join(import.meta.dirname, "environments", `${name}.yaml`));

/**
 * synth [SETTINGS.yaml …]: writes every stack of the environments as Terraform JSON to CDKTF_OUTDIR, cdktf.out by default, and tells how
 * many resources each has. review writes docs/aws/.
 */
async function main([first, ...rest]: readonly string[]): Promise<number> {
  // Loaded by those who need it: hosts that are there wait for no provider's bindings.
  const { reviewAws, synthAws } = await import("./aws/app.ts");
  const told = process.env.ENTITYOS_INFRA;
  const files = first === undefined ? (told === undefined ? ENVIRONMENTS : [told]) : [first, ...rest];
  try {
    if (first === "review") {
      reviewAws(ENVIRONMENTS, join(import.meta.dirname, "../docs/aws"));
      return EXIT.ok;
    }
    const { text, findings } = synthAws(files);
    process.stdout.write(text);
    for (const finding of findings) process.stderr.write(`${finding}\n`);
    return findings.length === 0 ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT.config;
  }
}

/** metal SETTINGS.yaml, or ENTITYOS_METAL: the hosts that are there, which are read first. */
async function metal(file: string): Promise<number> {
  const { synthMetal } = await import("./metal/app.ts");
  try {
    process.stdout.write(`${await synthMetal(file)}\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof HostError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error instanceof ConfigError ? EXIT.config : EXIT.failed;
  }
}

const [first, second] = process.argv.slice(2);
const hosts = first === "metal" ? second : first === undefined ? process.env.ENTITYOS_METAL : undefined;
process.exitCode = hosts === undefined ? await main(process.argv.slice(2)) : await metal(hosts);
