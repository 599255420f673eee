import { csr, testAuthorities } from "../process/authorities.ts";
import { Harness, NO_AUTHORITIES } from "../process/harness.ts";

/** Registers as fast as it can until it is killed, and tells on standard output what it was told. */
const [folder = "", uses = "0", pattern = "ip"] = process.argv.slice(2);
const harness = await Harness.open(folder);
const { device, ...authorities } = await testAuthorities();
const signing: typeof device = {
  ...device,
  issue: async (...request) => {
    const issued = await device.issue(...request);
    process.stdout.write(`signed ${issued.fingerprint}\n`);
    return issued;
  },
};
await using _process = await harness.process([], pattern === "ip" ? NO_AUTHORITIES : { ...authorities, device: signing });
const code = await harness.code({ pattern: pattern === "ip" ? "ip" : "either" }, { uses: Number(uses) });
const request = pattern === "ip" ? {} : { csr: await csr() };

async function registerForEver(): Promise<never> {
  for (;;) {
    const address = `8.8.${Math.floor(Math.random() * 256)}.${Math.floor(Math.random() * 256)}`;
    const id = await harness.submit(code, { addresses: [address] }, request);
    process.stdout.write(`stored ${id}\n`);
    const { status } = await harness.outcome(id);
    process.stdout.write(`outcome ${id} ${status}\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, registerForEver));
