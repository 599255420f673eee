import { parseArgs } from "node:util";
import { fitted } from "../lib/help.ts";
import { createLog } from "../lib/log.ts";
import { EXIT, PATH } from "../lib/service.ts";
import { VERSION } from "../lib/version.ts";
import { accept, check, cleanup, render, run, status } from "./commands.ts";
import { refusalOf } from "./refusal.ts";

const HELP = `entityos-agent: keeps this host's gate as the registry wants it

Usage: entityos-agent COMMAND [--config FILE]

Commands
  run              drives the gate until it is told to stop (the systemd service)
  check            reads the configuration and its files, probes nft, and says all that is wrong
  status [--json]  asks the running agent
  render nft       prints the tables it would install
  render haproxy   prints the terminator's configuration; so does render nginx
  accept EPOCH     lets the registry's next snapshot of that epoch take the place of what is held, though revision or CRL numbers go back by it: after a registry was restored from a backup
  cleanup          removes the gate's tables from the kernel: the host is then open

Options
  --config FILE    default ${PATH.agentConfig}
  --help, --version

Examples
  entityos-agent check --config /etc/entityos-agent/agent.yaml
  entityos-agent render nft | less
  entityos-agent status --json

Exit codes: 0 done · 1 refused or not true · 64 usage · 69 unavailable
            70 internal fault · 77 not permitted · 78 configuration
`;

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      config: { type: "string", default: PATH.agentConfig },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      version: { type: "boolean", default: false },
    },
  });
  if (values.version) return print(`entityos-agent ${VERSION}\n`);
  if (values.help) return print(fitted(HELP));
  const [command, subject, ...rest] = positionals;
  if (rest.length > 0 || (subject !== undefined && command !== "render" && command !== "accept"))
    return misuse(`Too many words after '${command}'.`);
  switch (command) {
    case "run":
      return await run(values.config, createLog("entityos-agent"));
    case "check":
      return await check(values.config);
    case "status":
      return await status(values.config, values.json);
    case "render":
      return render(values.config, subject);
    case "accept":
      return await accept(values.config, subject);
    case "cleanup":
      return await cleanup(values.config, createLog("entityos-agent"));
    default:
      return misuse(command === undefined ? "A command is missing." : `No command '${command}'.`);
  }
}

function print(text: string): number {
  process.stdout.write(text);
  return EXIT.ok;
}

function misuse(sentence: string): number {
  process.stderr.write(`entityos-agent: ${sentence} See 'entityos-agent --help'.\n`);
  return EXIT.usage;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const { text, exit } = refusalOf(error);
  process.stderr.write(`entityos-agent: ${text}\n`);
  process.exitCode = exit;
}
