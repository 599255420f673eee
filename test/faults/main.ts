import { parseArgs } from "node:util";
import { EXIT } from "../../lib/service.ts";
import { removeLab } from "../lab/folder.ts";
import { interruption } from "../lab/interrupt.ts";
import { duration, table } from "../lab/terminal.ts";
import { keepWatch } from "./keeper.ts";
import { type Result, runFaults } from "./run.ts";

const HELP = `npm run test:faults -- [--rounds N] [--seed S] [--agents N] [--name NAME]

Kills and freezes registry, agents, nft children and floor holders, and flushes nftables, at random moments under a stream
of registrations, revocations and codes; after each round everything is compared with what was answered: Storage, codes,
audit log, the agents' states and digests, every element in every kernel and its life. A stranger knocks all the time and
must not get one packet. Exits 0 only if all of it holds. The same seed makes the same choices.

--rounds N   10 unless said
--seed S     a whole number; the time unless said
--agents N   restricted hosts, 3 unless said
--name NAME  name of the lab, 'faults' unless said: what a killed run of this name left behind is taken away first

Needs root.
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "10" },
      seed: { type: "string" },
      agents: { type: "string", default: "3" },
      name: { type: "string", default: "faults" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const rounds = Number(values.rounds);
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  if (!Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(seed)) {
    process.stderr.write(HELP);
    return EXIT.usage;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write("The faults need network namespaces: run them as root.\n");
    return EXIT.permission;
  }
  const signal = interruption();
  await removeLab(values.name);
  using _watch = keepWatch(values.name);
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  progress(`seed ${seed}`);
  const result = await runFaults({ name: values.name, rounds, seed, agents: Number(values.agents), signal, progress });
  process.stdout.write(tell(result, seed));
  return result.problems.length === 0 ? EXIT.ok : EXIT.failed;
}

function tell({ rounds, restarts, arrived, problems }: Result, seed: number): string {
  const rows = rounds.map((round, index) => [
    String(index + 1),
    String(round.asked),
    String(round.unanswered),
    String(round.rules),
    String(round.knocks),
    duration(round.restMs),
    round.strikes.join(", "),
  ]);
  const head = ["round", "asked", "no answer", "rules", "knocks", "at rest", "strikes"];
  const sum = (pick: (round: (typeof rounds)[number]) => number) => rounds.reduce((total, round) => total + pick(round), 0);
  const said = problems.length === 0 ? "Everything held.\n" : `Did not hold:\n${problems.map((problem) => `  ${problem}\n`).join("")}`;
  return `${table(head, rows, [0, 1, 2, 3, 4, 5])}
seed ${seed}: ${rounds.length} rounds, ${sum((round) => round.strikes.length)} strikes, ${restarts} restarts, ${sum((round) => round.asked)} requests, ${sum((round) => round.unanswered)} without an answer at first
stranger: ${sum((round) => round.knocks)} knocks, ${arrived} seen to arrive at one of eight doors
${said}`;
}

process.exitCode = await main();
