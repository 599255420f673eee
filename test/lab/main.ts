import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { EXIT } from "../../lib/service.ts";
import { CommandError } from "./exec.ts";
import { listLabs, readPlan, removeLab } from "./folder.ts";
import { interruption } from "./interrupt.ts";
import { descriptionFile, releaseLab, startLab } from "./lab.ts";
import { LabError, type LabOptions, type LabPlan, terminatorNamed } from "./plan.ts";
import { findProcess } from "./processes.ts";
import { agentOf, agentStatus, serviceOf, terminatorOf } from "./programs.ts";
import { table } from "./terminal.ts";
import { TimeoutError } from "./wait.ts";

const HELP = `npm run lab -- up [--name NAME] [--agents N] [--devices N] [--roaming N] [--terminator haproxy|nginx]
npm run lab -- status [--name NAME] [--json]
npm run lab -- down [--name NAME]

up      builds both zones on this machine in network namespaces (eos-NAME-…), starts the programs, waits until they are
        ready and prints as JSON how to use them; the lab stays when the command has ended
status  what stands, as a table or as JSON
down    takes everything away, also what a killed up left behind

NAME is 'lab' unless said, N is 1 agent and 2 devices; of the agents, the last N let certificates in from anywhere
(--roaming, 0 unless said). HAProxy ends TLS on every host unless said otherwise. Needs root.
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      name: { type: "string", default: "lab" },
      agents: { type: "string", default: "1" },
      devices: { type: "string", default: "2" },
      roaming: { type: "string", default: "0" },
      terminator: { type: "string", default: "haproxy" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const command = positionals.length === 1 ? positionals[0] : undefined;
  const wrong = (["agents", "devices", "roaming"] as const).find((name) => !/^\d{1,3}$/.test(values[name]));
  if (wrong !== undefined) return complain(`--${wrong} is a whole number: '${values[wrong]}' is not.`, EXIT.usage);
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  if (process.getuid?.() !== 0) return complain("The lab makes network namespaces: run it as root.", EXIT.permission);
  switch (command) {
    case "up":
      return up(values.name, {
        agents: Number(values.agents),
        devices: Number(values.devices),
        roaming: Number(values.roaming),
        terminator: terminatorNamed(values.terminator),
      });
    case "status":
      return status(values.name, values.json);
    case "down":
      return complain((await removeLab(values.name)) ? `lab '${values.name}' is gone` : `there is no lab '${values.name}'`, EXIT.ok);
    default:
      process.stderr.write(HELP);
      return EXIT.usage;
  }
}

async function up(name: string, sizes: Pick<LabOptions, "agents" | "devices" | "roaming" | "terminator">): Promise<number> {
  const signal = interruption();
  if (readPlan(name)) {
    await status(name, false, process.stderr);
    return complain(`lab '${name}' stands already; 'npm run lab -- down --name ${name}' takes it away`, EXIT.failed);
  }
  const startedAt = performance.now();
  const progress = (text: string) =>
    process.stderr.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(5)} s  ${text}\n`);
  const lab = await startLab({ name, ...sizes, progress, signal });
  releaseLab(lab);
  process.stdout.write(`${JSON.stringify(lab.description, null, 2)}\n`);
  return EXIT.ok;
}

async function status(name: string, json: boolean, out: NodeJS.WritableStream = process.stdout): Promise<number> {
  const plan = readPlan(name)?.plan;
  if (!plan) return complain(`there is no lab '${name}'; labs: ${listLabs().join(", ") || "none"}`, EXIT.failed);
  const agents = await Promise.all(plan.hosts.map((host) => agentStatus(plan, host)));
  const rows = [
    row(plan, "registry", plan.registry.address, findProcess(plan.folder, "registry") ? "serving" : "not running"),
    ...plan.hosts.flatMap((host, i) => {
      const agent = agents[i];
      return [
        row(plan, agentOf(host), host.address, agent ? `${agent.state}, revision ${agent.revision}, ${agent.rules} rules` : "not running"),
        ...[terminatorOf(host), serviceOf(host)].map((part) =>
          row(plan, part, host.address, findProcess(plan.folder, part) ? "serving" : "not running"),
        ),
      ];
    }),
    ...plan.devices.map((device) => ({ name: device.name, address: device.address, netns: device.netns, pid: null, state: "" })),
  ];
  const whole = rows.every((each) => each.state !== "not running");
  if (json) out.write(`${JSON.stringify({ name, whole, parts: rows, lab: describe(plan) }, null, 2)}\n`);
  else {
    const cells = rows.map((each) => [each.name, each.address, each.pid?.toString() ?? "", each.state]);
    out.write(table(["part", "address", "pid", "state"], cells));
  }
  return whole ? EXIT.ok : EXIT.failed;
}

const row = (plan: LabPlan, name: string, address: string, state: string) => ({
  name,
  address,
  pid: findProcess(plan.folder, name)?.pid ?? null,
  state,
});

/** What `up` printed; null when it never came that far. */
function describe(plan: LabPlan): unknown {
  try {
    return JSON.parse(readFileSync(descriptionFile(plan), "utf8"));
  } catch {
    return null;
  }
}

function complain(text: string, code: number): number {
  process.stderr.write(`${text}\n`);
  return code;
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  const known = usage || error instanceof LabError || error instanceof CommandError || error instanceof TimeoutError;
  process.stderr.write(`${known ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = usage ? EXIT.usage : known ? EXIT.failed : EXIT.software;
}
