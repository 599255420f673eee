import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { expect } from "chai";
import type { FuzzTarget } from "./target.ts";

const FOLDER = join(import.meta.dirname, "targets");
/** What each target tries here; a long run takes other seeds and more. */
const COUNT = 2_000;
const SEED = 20_261_124;

describe("hostile input", function () {
  this.timeout(60_000);
  const files = globSync("*.ts", { cwd: FOLDER }).sort();

  it("has targets", () => {
    expect(files).to.include.members(["address.ts", "code.ts", "registration.ts"]);
  });

  for (const file of files) {
    it(`is answered with a value or a coded refusal: ${basename(file, ".ts")}`, async () => {
      const target = (await import(join(FOLDER, file))) as FuzzTarget;
      expect(target.name).to.equal(basename(file, ".ts"));
      await target.run(SEED, COUNT);
    });
  }
});
