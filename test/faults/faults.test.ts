import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect } from "chai";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";
import { removeLab } from "../lab/folder.ts";
import { traces } from "../lab/traces.ts";
import { waitFor } from "../lab/wait.ts";
import { Chance } from "./random.ts";

const NAME = `t-faults-${process.pid}`;
const COMMAND = "test/faults/main.ts";

describe("npm run test:faults", function () {
  this.timeout(300_000);

  after(async () => {
    await removeLab(NAME);
  });

  it("finds everything as it was answered after each round of strikes, a stranger unheard, and leaves nothing", async () => {
    const said = await run([BIN.run, COMMAND, "--rounds", "4", "--seed", "3", "--name", NAME], { timeoutMs: 290_000 });
    expect(said).to.match(/^seed 3: 4 rounds, \d+ strikes, \d+ restarts, \d+ requests, \d+ without an answer at first$/m);
    expect(said).to.include("\nEverything held.\n");
    expect(await traces(NAME)).to.deep.equal([]);
  });

  it("leaves nothing when it is killed", async () => {
    const child = spawn(BIN.run, [COMMAND, "--rounds", "100", "--agents", "1", "--name", NAME], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = once(child, "close");
    for await (const line of createInterface(child.stderr)) if (line.startsWith("round 1:")) break;
    expect(await traces(NAME)).not.to.deep.equal([]);
    child.kill("SIGKILL");
    await ended;
    await waitFor("everything to be gone", async () => (await traces(NAME)).length === 0 || undefined, { timeoutMs: 60_000, everyMs: 100 });
  });

  it("makes the same choices for the same seed", () => {
    const draw = (seed: number) => {
      const chance = new Chance(seed);
      return [chance.whole(1, 6), chance.pick("abcdef".split("")), chance.weighted({ a: 1, b: 9 }), chance.fork().whole(0, 99)];
    };
    expect(draw(1)).to.deep.equal(draw(1));
    expect(draw(1)).not.to.deep.equal(draw(2));
    expect(() => new Chance(1).pick([])).to.throw(RangeError, "nothing to pick from");
  });
});
