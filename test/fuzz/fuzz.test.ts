import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { expect } from "chai";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";
import type { FuzzTarget } from "./target.ts";

const FOLDER = join(import.meta.dirname, "targets");
/** What each target tries here; a long run takes other seeds and more. */
const COUNT = 2_000;
const SEED = 20_261_124;

describe("hostile input", function () {
  this.timeout(180_000);
  const files = globSync("*.ts", { cwd: FOLDER }).sort();

  it("has targets", () => {
    expect(files).to.include.members(["address.ts", "code.ts", "feed.ts", "registration.ts", "state-file.ts"]);
  });

  for (const file of files) {
    it(`is answered with a value or a coded refusal: ${basename(file, ".ts")}`, async () => {
      const target = (await import(join(FOLDER, file))) as FuzzTarget;
      expect(target.name).to.equal(basename(file, ".ts"));
      await target.run(SEED, COUNT);
    });
  }

  it("is reported by npm run test:fuzz, by target and code", async () => {
    const said = await run([BIN.run, "test/fuzz/main.ts", "--count", "3000", "--seed", "1"]);
    for (const file of files) expect(said).to.match(new RegExp(`^${basename(file, ".ts")} +\\d+ +\\d+ +\\d+ +\\d+\\.\\d  `, "m"));
    expect(said).to.match(/^address: .*address_invalid \d+/m);
    expect(said).to.match(/^seed 1: \d+ inputs, none answered by anything but a value or a coded refusal$/m);
  });
});
