import { join, relative, resolve } from "node:path";
import { App } from "cdktf";
import { readPackages } from "./packages.ts";
import { planHosts } from "./reading.ts";
import { loadMetal, pathFrom } from "./settings.ts";
import { Ssh } from "./ssh.ts";
import { MetalStack } from "./stack.ts";

const ROOT = join(import.meta.dirname, "../..");

/**
 * Reads every host and writes the stack; which hosts differ, and in what, is told on standard error.
 * @returns folder that it was written to
 * @throws ConfigError with every problem of settings and packages; HostError where a registry would be purged
 */
export async function synthMetal(file: string): Promise<string> {
  const settings = loadMetal(file);
  const folder = readPackages(pathFrom(file, settings.packages));
  const hosts = [settings.registry, ...settings.agents];
  const plans = await planHosts(hosts, folder, settings.purge, ({ connection }) => new Ssh(connection, file), Date.now());
  for (const { host, differences, notes } of plans) {
    for (const words of [...differences, ...notes]) {
      const { name } = host.connection;
      process.stderr.write(`${words.startsWith(`${name}: `) ? "" : `${name}: `}${words}\n`);
    }
  }
  // Traces in the metadata would carry paths of this machine.
  const app = new App({ stackTraces: false });
  const stackFolder = join(resolve(app.outdir), "stacks/metal");
  new MetalStack(app, settings, plans, { root: relative(stackFolder, ROOT) || ".", settings: relative(ROOT, resolve(file)) });
  app.synth();
  return app.outdir;
}
