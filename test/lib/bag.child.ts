import { Bag } from "../../lib/bag.ts";

/** Prints how many bytes stay, after small collections alone, of what came into a bag and left it again. */
const collect = globalThis.gc;
if (collect === undefined) throw new Error("needs --expose-gc");
const bag = new Bag<readonly number[]>();
collect({ type: "major" });
const before = process.memoryUsage().heapUsed;
for (let round = 0; round < 600; round++) {
  const held = Array.from({ length: 8 }, () => bag.add(Array.from({ length: 1_000 }, () => round)));
  collect({ type: "minor" });
  for (const each of held) bag.remove(each);
}
collect({ type: "minor" });
process.stdout.write(String(process.memoryUsage().heapUsed - before));
