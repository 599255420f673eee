import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { EXIT } from "../../lib/service.ts";
import { interruption } from "../lab/interrupt.ts";
import { table } from "../lab/terminal.ts";
import { type FuzzTarget, seen } from "./target.ts";

const HELP = `npm run test:fuzz -- [--count N] [--seed S] [--target NAME]

Hostile input for every parser that meets any: each is answered with a value or a coded refusal. Every target gets as many of
the N inputs as it gets through in the same time. Exits 0 only if nothing else was thrown and memory did not grow. Ctrl-C ends it early and tells how far it came. The same
seed and target try the same inputs.

--count N      100000 unless said
--seed S       a whole number; the time unless said
--target NAME  a file in test/fuzz/targets, all of them unless said
`;

const BATCH = 2_000;
/** Inputs by which a target's speed is measured, and its caches are filled. */
const FIRST = 500;
/** Heap, after collection, that a run may end with above what it had once every target had run. */
const MAX_GROWTH_BYTES = 32 << 20;

interface Row {
  readonly name: string;
  inputs: number;
  ms: number;
  slowest: { readonly ms: number; readonly input: string };
  readonly refusals: Map<string, number>;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "100000" },
      seed: { type: "string" },
      target: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const folder = join(import.meta.dirname, "targets");
  const names = globSync("*.ts", { cwd: folder }).map((file) => basename(file, ".ts"));
  const chosen = names.filter((name) => values.target === undefined || name === values.target).sort();
  const count = Number(values.count);
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  if (values.help || chosen.length === 0 || !Number.isInteger(count) || count < 1 || !Number.isInteger(seed)) {
    (values.help ? process.stdout : process.stderr).write(HELP);
    return values.help ? EXIT.ok : EXIT.usage;
  }
  const targets = await Promise.all(chosen.map((name) => import(join(folder, `${name}.ts`)) as Promise<FuzzTarget>));
  const rows = targets.map((target): Row => ({ name: target.name, inputs: 0, ms: 0, slowest: { ms: 0, input: "" }, refusals: new Map() }));
  const more = (index: number, inputs: number) => batch(targets[index], rows[index], seed, inputs);
  for (const index of rows.keys()) await more(index, FIRST);
  const heapBefore = heap();
  const speed = rows.map((row) => row.inputs / row.ms);
  const all = speed.reduce((sum, each) => sum + each, 0);
  const left = speed.map((each) => Math.ceil((count * each) / all) - FIRST);
  const stop = interruption();
  // In turns, so that a run that is ended early has tried them all.
  while (left.some((each) => each > 0) && !stop.aborted) {
    for (const [index, each] of left.entries()) {
      // A slow target's batch takes as long as a fast one's.
      const inputs = Math.min(each, Math.ceil((BATCH * (speed[index] ?? 0) * rows.length) / all));
      if (inputs > 0) await more(index, inputs);
      left[index] = each - inputs;
    }
    // A signal is heard between turns alone.
    await setImmediate();
  }
  const growth = heap() - heapBefore;
  process.stdout.write(tell(rows, seed, growth));
  return growth <= MAX_GROWTH_BYTES ? EXIT.ok : EXIT.failed;
}

/** One batch of one target, of inputs that no other batch of it had. */
async function batch(target: FuzzTarget | undefined, row: Row | undefined, seed: number, inputs: number): Promise<void> {
  if (target === undefined || row === undefined) return;
  seen.refusals = row.refusals;
  seen.slowest = row.slowest;
  const startedAt = performance.now();
  await target.run(seed + row.inputs, inputs);
  row.ms += performance.now() - startedAt;
  row.inputs += inputs;
  row.slowest = seen.slowest;
}

/** Bytes on the heap that are still in use. */
function heap(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

function tell(rows: readonly Row[], seed: number, growth: number): string {
  const cells = rows.map(({ name, inputs, ms, slowest, refusals }) => [
    ...[
      name,
      String(inputs),
      String(Math.round((inputs / ms) * 1_000)),
      String([...refusals.values()].reduce((sum, each) => sum + each, 0)),
    ],
    ...[slowest.ms.toFixed(1), slowest.input.replaceAll(/\s+/g, " ")],
  ]);
  const codes = rows.flatMap(({ name, refusals }) =>
    refusals.size === 0
      ? []
      : [
          `${name}: ${[...refusals]
            .sort()
            .map(([code, times]) => `${code} ${times}`)
            .join(", ")}\n`,
        ],
  );
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  const inputs = rows.reduce((sum, row) => sum + row.inputs, 0);
  return `${table(["target", "inputs", "a second", "refused", "slowest ms", "slowest input"], cells, [1, 2, 3, 4])}
Refusals by code
${codes.join("")}
seed ${seed}: ${inputs} inputs, none answered by anything but a value or a coded refusal
heap grew by ${mib(growth)} MiB of at most ${mib(MAX_GROWTH_BYTES)}, resident at the end are ${mib(process.memoryUsage.rss())} MiB
`;
}

/** An input may be long: its beginning, and what came of it. */
const SAID_CHARACTERS = 600;

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Error)) throw error;
  const cause = error.cause instanceof Error ? error.cause.stack : "";
  process.stderr.write(`${error.message.slice(0, SAID_CHARACTERS)}\n${cause ?? ""}\n`);
  process.exitCode = EXIT.failed;
}
