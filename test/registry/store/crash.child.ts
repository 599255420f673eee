import { Harness } from "../process/harness.ts";

/** Registers as fast as it can until it is killed, and tells on standard output what it was told. */
const [folder = "", uses = "0"] = process.argv.slice(2);
const harness = await Harness.open(folder);
await using _process = await harness.process();
const code = await harness.code({}, { uses: Number(uses) });

async function registerForEver(): Promise<never> {
  for (;;) {
    const id = await harness.submit(code, { addresses: [`8.8.${Math.floor(Math.random() * 256)}.${Math.floor(Math.random() * 256)}`] });
    process.stdout.write(`stored ${id}\n`);
    const { status } = await harness.outcome(id);
    process.stdout.write(`outcome ${id} ${status}\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, registerForEver));
