import { parseArgs } from "node:util";
import { EXIT } from "../../lib/service.ts";
import { removeLab } from "../lab/folder.ts";
import { interruption } from "../lab/interrupt.ts";
import { runUpdates } from "./run.ts";

const HELP = `npm run test:updates -- [--lists N] [--reloads N] [--name NAME]

Valid devices ask a gate all the time, by address, by certificate and by both, over kept connections, new ones and HTTP/2,
while lists of revoked certificates are renewed, the device CA is rotated, HAProxy is reloaded and the agent restarts.
Exits 0 only if every single request was answered.

--lists N    20 unless said
--reloads N  3 unless said
--name NAME  name of the lab, 'updates' unless said: what a killed run of this name left behind is taken away first

Needs root.
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      lists: { type: "string", default: "20" },
      reloads: { type: "string", default: "3" },
      name: { type: "string", default: "updates" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const [lists, reloads] = [Number(values.lists), Number(values.reloads)];
  if (!Number.isInteger(lists) || lists < 1 || !Number.isInteger(reloads) || reloads < 0) {
    process.stderr.write(HELP);
    return EXIT.usage;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write("The lab needs network namespaces: run it as root.\n");
    return EXIT.permission;
  }
  await removeLab(values.name);
  const progress = (text: string) => process.stderr.write(`${new Date().toISOString().slice(11, 23)}  ${text}\n`);
  const { updates, answered, refused } = await runUpdates({ name: values.name, lists, reloads, signal: interruption(), progress });
  process.stdout.write(
    `${updates.length} updates; answered ${answered.kept} over kept connections, ${answered.new} over new ones, ${answered.http2} over HTTP/2; refused ${refused.length}\n`,
  );
  for (const what of refused) process.stdout.write(`  ${what}\n`);
  return refused.length === 0 ? EXIT.ok : EXIT.failed;
}

process.exitCode = await main();
