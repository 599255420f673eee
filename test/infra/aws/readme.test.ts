import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { listing } from "../../../infra/aws/listing.ts";
import { countRows } from "../../../infra/aws/review.ts";
import { parseAws } from "../../../infra/aws/settings.ts";
import { readSynthesis, type Synthesis } from "../../../infra/aws/synthesis.ts";
import { settingsText } from "./synthesised.ts";

const ROOT = join(import.meta.dirname, "../../..");
const ENVIRONMENTS = ["production", "trial", "single-zone"] as const;
const PARTS = ["network", "pki", "registry", "restricted", "dns", "alarms"];

describe("the commands that users are told, in a folder of their own", function () {
  this.timeout(300_000);
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-readme-"));
    for (const name of ["cdktf.json", "package.json", "scripts", "infra", "node_modules"])
      symlinkSync(join(ROOT, name), join(folder, name));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** As a user's shell, without credentials and without terraform. */
  const run = (command: string) =>
    spawnSync("/bin/sh", ["-c", command], {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin", HOME: folder, CHECKPOINT_DISABLE: "1", NPM_CONFIG_UPDATE_NOTIFIER: "false" },
    });
  const read = (name: string): Synthesis => readSynthesis(join(folder, "cdktf.out"), parseAws(`${name}.yaml`, settingsText(name)), PARTS);
  const told = (file: string, command: string): string => {
    expect(readFileSync(join(ROOT, file), "utf8")).to.include(command);
    return command;
  };

  it("npm run synth writes three environments, and tells how many resources each has, and leaves no stack of before", () => {
    const stale = join(folder, "cdktf.out/stacks/trial-database");
    mkdirSync(stale, { recursive: true });
    writeFileSync(join(stale, "cdk.tf.json"), "{}");
    writeFileSync(join(stale, "terraform.tfstate"), "kept");
    const { status, stdout, stderr } = run(told("README.md", "npm run synth"));
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: "" });
    expect(readdirSync(stale)).to.deep.equal(["terraform.tfstate"]);
    const counts = [...stdout.matchAll(/^(\S+) +(\d+) resources$/gm)].map(([, stack, count]) => [stack, Number(count)]);
    expect(counts).to.deep.equal(ENVIRONMENTS.flatMap((name) => countRows(read(name))));
    expect(counts.filter(([stack]) => ENVIRONMENTS.some((name) => name === stack))).to.deep.equal([
      ["production", 186],
      ["trial", 165],
      ["single-zone", 168],
    ]);
  });

  it("npx cdktf synth writes every resource of them as docs/aws/*.txt says", () => {
    const { status, stdout } = run(told("docs/aws.md", "npx cdktf synth"));
    expect(status, stdout).to.equal(0);
    for (const name of ENVIRONMENTS) expect(listing(read(name))).to.equal(readFileSync(join(ROOT, `docs/aws/${name}.txt`), "utf8"));
  });
});
