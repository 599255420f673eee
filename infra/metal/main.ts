import { hostname, userInfo } from "node:os";
import { z } from "zod";
import { ConfigError } from "../../lib/config.ts";
import { EXIT } from "../../lib/service.ts";
import { deployHost } from "./deploy.ts";
import { HostError } from "./errors.ts";
import { readPackages } from "./packages.ts";
import { removeHost } from "./remove.ts";
import { type Connection, type Host, loadMetal, pathFrom } from "./settings.ts";
import { Ssh } from "./ssh.ts";

/** What Terraform calls for a host; by hand it is not needed. */
const USAGE = "metal/main.ts deploy HOST | remove, with what Terraform gives it in ENTITYOS_METAL…\n";

const connectionSchema = z.strictObject({
  name: z.string(),
  address: z.string(),
  port: z.int(),
  user: z.string(),
  key: z.string().nullable().default(null),
  hostKey: z.string(),
}) satisfies z.ZodType<Connection>;

/** A host to be removed, and where its agent was enrolled: as the state has it, for the settings may name it no more. */
const removedSchema = z.strictObject({ host: connectionSchema, registry: connectionSchema.nullable().default(null) });

async function main([command, name]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const file = env.ENTITYOS_METAL;
  const say = (words: string) => void process.stdout.write(`${words}\n`);
  try {
    if (file === undefined) throw new Error("ENTITYOS_METAL is missing");
    if (command === "deploy" && name !== undefined) await deploy(file, name, env, say);
    else if (command === "remove") {
      const { host, registry } = removedSchema.parse(JSON.parse(env.ENTITYOS_METAL_HOST ?? ""));
      using remote = new Ssh(host, file);
      using other = registry === null ? null : new Ssh(registry, file);
      const purge = registry === null ? loadMetal(file).purge : [];
      await removeHost({ name: host.name, remote, registry: other, who: whoIs(), purge, say: (words) => say(`${host.name}: ${words}`) });
      say(`${host.name}: removed`);
    } else {
      process.stderr.write(USAGE);
      return EXIT.usage;
    }
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof HostError || error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error instanceof ConfigError ? EXIT.config : EXIT.failed;
  }
}

async function deploy(file: string, name: string, env: NodeJS.ProcessEnv, say: (words: string) => void): Promise<void> {
  const settings = loadMetal(file);
  const hosts: readonly Host[] = [settings.registry, ...settings.agents];
  const host = hosts.find(({ connection }) => connection.name === name);
  if (host === undefined) throw new HostError(name, "plan", "changed_since", "the settings do not name it any more: plan again");
  const folder = readPackages(pathFrom(file, settings.packages));
  const planned = { generation: env.ENTITYOS_METAL_GENERATION ?? "", digest: env.ENTITYOS_METAL_DIGEST ?? "" };
  if (planned.digest === "unread")
    throw new HostError(name, "connect", "unread", "it could not be read when the plan was made: plan again");
  using remote = new Ssh(host.connection, file);
  using registry = new Ssh(settings.registry.connection, file);
  await deployHost(host, planned, { folder, remote, registry, who: whoIs(), say });
}

/** Who deploys, for another one that would at the same time. */
const whoIs = (): string => `${userInfo().username} at ${hostname()} since ${new Date().toISOString()} (process ${process.pid})`;

process.exitCode = await main(process.argv.slice(2), process.env);
