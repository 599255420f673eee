import { parseArgs } from "node:util";
import { EXIT } from "../../lib/service.ts";
import { runRotations } from "./run.ts";

const HELP = `npm run test:rotation -- [--lists N]

A whole registry on loopback: device CA, infrastructure CA, root, and then those two again under the new root are rotated, and lists of
revoked certificates renewed, while devices register and renew, agents follow the feed and connect to it anew, and operators ask, some
with the old root pinned and some with the new one. Exits 0 only if not one was refused.

--lists N    20 unless said
`;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { lists: { type: "string", default: "20" }, help: { type: "boolean", default: false } } });
  const lists = Number(values.lists);
  if (values.help || !Number.isInteger(lists) || lists < 0) {
    process[values.help ? "stdout" : "stderr"].write(HELP);
    return values.help ? EXIT.ok : EXIT.usage;
  }
  const progress = (text: string) => process.stderr.write(`${new Date().toISOString().slice(11, 23)}  ${text}\n`);
  const { steps, lists: renewed, done, refused, doubted } = await runRotations({ lists, progress });
  process.stdout.write(
    `${steps.length} rotations, ${renewed} lists; ${done.registered} registered, ${done.renewed} renewed, ${done.feed} feeds opened, ${done.operator} questions; refused ${refused.length}\n`,
  );
  for (const what of refused) process.stdout.write(`  ${what}\n`);
  const doubts = Object.entries(doubted).filter(([, count]) => count > 0);
  for (const [agent, count] of doubts) process.stdout.write(`  ${agent} does not believe ${count} entries\n`);
  return refused.length === 0 && doubts.length === 0 ? EXIT.ok : EXIT.failed;
}

process.exitCode = await main();
