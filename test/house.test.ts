import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "..");

/** What a tool of the house says of the whole tree: its exit code and its words. */
function house(tool: string, ...args: readonly string[]): { code: number | null; said: string } {
  const run = spawnSync(join(ROOT, "node_modules/.bin", tool), args, { cwd: ROOT, encoding: "utf8", timeout: 240_000 });
  return { code: run.status, said: `${run.stdout}${run.stderr}` };
}

describe("the house", function () {
  this.timeout(250_000);

  it("is formatted and lints without a finding", () => {
    const { code, said } = house("biome", "ci", "--colors=off", "--error-on-warnings", ".");
    expect(code, said).to.equal(0);
  });

  it("type-checks", () => {
    const { code, said } = house("tsc", "-p", ".");
    expect(code, said).to.equal(0);
  });

  it("runs on Node 24 or newer", () => {
    expect(Number.parseInt(process.versions.node, 10)).to.be.at.least(24);
  });
});
