import { parseArgs } from "node:util";
import { systemClock } from "../lib/clock.ts";
import { fitted } from "../lib/help.ts";
import { createLog } from "../lib/log.ts";
import { EXIT, PATH } from "../lib/service.ts";
import { VERSION } from "../lib/version.ts";
import { check, init, migrate, refusalOf, runUntilStopped } from "./commands.ts";
import { loadRegistryConfig } from "./config.ts";

const HELP = `entityos-registry: takes registrations, decides them, and tells every gate

Usage: entityos-registry COMMAND [--config FILE]

Commands
  init             makes keys, certificates, Storage and the default profile; what is there stays
  serve            serves devices, operators and agents until it is told to stop (the systemd service)
  check            reads the configuration and the state, and says all that is wrong
  migrate          makes of a registry that is there what init makes today: schema of Storage, CAs, keys, lists

Options
  --config FILE    default ${PATH.registryConfig}
  --role ROLE      of serve: all (default); register and control alone need PostgreSQL
  --help, --version

Examples
  entityos-registry init --config /etc/entityos-registry/registry.yaml
  entityos-registry serve
  entityos-registry check --config ./registry.yaml && echo sound

Exit codes: 0 done · 1 refused or not true · 64 usage · 69 unavailable
            70 internal fault · 77 not permitted · 78 configuration
`;

const ROLES: ReadonlySet<string> = new Set(["all", "register", "control"]);

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      config: { type: "string", default: PATH.registryConfig },
      role: { type: "string", default: "all" },
      help: { type: "boolean", short: "h", default: false },
      version: { type: "boolean", default: false },
    },
  });
  if (values.version) return print(`entityos-registry ${VERSION}\n`);
  if (values.help) return print(fitted(HELP));
  const [command, ...rest] = positionals;
  if (command === undefined) return misuse("A command is missing.");
  if (rest.length > 0) return misuse(`Too many words after '${command}'.`);
  const log = createLog("entityos-registry");
  switch (command) {
    case "init":
      return print(await init(loadRegistryConfig(values.config), values.config, systemClock, log));
    case "serve":
      if (!ROLES.has(values.role)) return misuse(`There is no role '${values.role}': --role is all, register or control.`);
      await runUntilStopped(loadRegistryConfig(values.config), values.role, systemClock, log);
      return EXIT.ok;
    case "check":
      return print(await check(loadRegistryConfig(values.config), values.config));
    case "migrate":
      return print(await migrate(loadRegistryConfig(values.config), systemClock, log));
    default:
      return misuse(`No command '${command}'.`);
  }
}

function print(text: string): number {
  process.stdout.write(text);
  return EXIT.ok;
}

function misuse(sentence: string): number {
  process.stderr.write(`entityos-registry: ${sentence} See 'entityos-registry --help'.\n`);
  return EXIT.usage;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const { text, exit } = refusalOf(error);
  process.stderr.write(`entityos-registry: ${text}\n`);
  process.exitCode = exit;
}
