import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "..");

describe("npm run build", function () {
  this.timeout(180_000);
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-build-"));
    const run = spawnSync(join(ROOT, "scripts/run"), ["scripts/build.ts", folder], { encoding: "utf8" });
    expect(run.status, run.stderr).to.equal(0);
    expect(run.stderr).to.equal("");
  });
  after(() => rmSync(folder, { recursive: true }));

  it("makes one file of each program and nothing else", () => {
    expect(readdirSync(folder).sort()).to.deep.equal(["entityos-agent.mjs", "entityos-registry.mjs", "entityos.mjs"]);
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).size).to.be.within(50_000, 5_000_000);
  });

  for (const program of ["entityos", "entityos-agent", "entityos-registry"]) {
    it(`makes an ${program} that Node runs alone, far from the tree`, () => {
      const run = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", join(folder, `${program}.mjs`), "--help"], {
        cwd: folder,
        encoding: "utf8",
        env: {},
      });
      expect({ code: run.status, stderr: run.stderr }).to.deep.equal({ code: 0, stderr: "" });
      expect(run.stdout).to.match(new RegExp(`^${program}[: ]`));
    });
  }
});
