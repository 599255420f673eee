import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { commandLine, processIds } from "./lab/command-line.ts";
import { waitFor } from "./lab/wait.ts";
import { GROUPS, type Group, LONGEST, runGroups } from "./lanes.ts";

const SOURCES = {
  passes: `it("a", () => {});`,
  fails: `it("a", () => {}); it("b", () => { throw new Error("b"); }); it("c", () => { throw new Error("c"); });`,
  absent: `import "./absent.ts";`,
  killed: `it("a", () => { process.kill(process.pid, "SIGKILL"); });`,
  late: `it("a", () => { setTimeout(() => { throw new Error("late"); }, 20); });`,
  network: `import { execFileSync } from "node:child_process"; it("a", () => { execFileSync("ip", ["netns", "add", "eos-apart"]); });`,
};

const ROOT = join(import.meta.dirname, "..");

describe("lanes of tests", function () {
  this.timeout(180_000);
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-lanes-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const groupOf = (name: string, source: string): Group => {
    const file = join(folder, `${name}.test.mjs`);
    writeFileSync(file, source);
    return { name, arguments: [file], boots: false };
  };
  const ran = async (...names: readonly (keyof typeof SOURCES)[]) => {
    let output = "";
    const failed = await runGroups(
      names.map((name) => groupOf(name, SOURCES[name])),
      folder,
      (text) => {
        output += text;
      },
    );
    return { failed, output };
  };

  /** What the groups count to, and the last line. */
  const CASES: readonly [what: string, groups: readonly (keyof typeof SOURCES)[], failed: number, last: string][] = [
    ["both pass", ["passes", "passes"], 0, "2 passed, 0 failed"],
    ["one fails", ["passes", "fails"], 2, "2 passed, 2 failed"],
    ["one does not load", ["passes", "absent"], 1, "1 passed, 1 failed"],
    ["one is killed before its count", ["passes", "killed"], 1, "1 passed, 1 failed"],
    ["one fails after its last test", ["passes", "late"], 1, "2 passed, 1 failed"],
    ["there are more groups than lanes", ["passes", "passes", "passes", "passes", "fails", "passes"], 2, "6 passed, 2 failed"],
  ];
  for (const [what, names, failed, last] of CASES) {
    it(`end with "${last}" where ${what}`, async () => {
      const told = await ran(...names);
      expect(told.failed).to.equal(failed);
      expect(told.output.endsWith(`\n${last}\n`), told.output).to.equal(true);
    });
  }

  it("tell what each group said, whole, and how long it took", async () => {
    const { output } = await ran("passes", "fails");
    const said = output.slice(output.indexOf("\nfails\n"));
    expect(said).to.match(/^\nfails\n\n\n.*✔.* a\n/);
    expect(said.indexOf("Error: c")).to.be.within(0, said.indexOf("\n1 passed, 2 failed\n"));
    expect(output).to.match(/\nfails: 1 passed, 2 failed in \d+ s\n/);
    expect(output).to.match(/\npasses: 1 passed, 0 failed in \d+ s\n/);
    expect(output).to.match(/\nAll in \d+ s\n2 passed, 2 failed\n$/);
  });

  it("tell once more at the end what failed, and nothing of what passed", async () => {
    const { output } = await ran("passes", "fails", "killed");
    const end = output.slice(output.search(/\n\w+, once more what failed:\n/));
    expect(end).to.match(/\nfails, once more what failed:\n.* 1 passing .*\n.* 2 failing/);
    expect(end).to.contain("Error: b\n").and.to.contain("Error: c\n").and.not.to.contain("✔");
    expect(end).to.contain("\nkilled, once more what failed:\n");
    expect(output).not.to.contain("passes, once more");
  });

  it("have namespaces of their own in each group", async () => {
    expect((await ran("network", "network")).output).to.match(/\n2 passed, 0 failed\n$/);
    expect(existsSync("/run/netns/eos-apart")).to.equal(false);
  });

  it("have every file of tests in one group, but for the longest", () => {
    const inGroups = GROUPS.map(({ arguments: args }) => globSync(args.at(-1) ?? "", { cwd: ROOT }).filter((file) => !args.includes(file)));
    for (const files of inGroups) expect(files).not.to.deep.equal([]);
    expect([...inGroups.flat(), ...LONGEST].sort()).to.deep.equal(globSync("test/**/*.test.ts", { cwd: ROOT }).sort());
  });

  /** A run of one group whose test left a program in a session of its own and goes on for good. */
  async function startEndless(): Promise<{
    readonly run: ReturnType<typeof spawn>;
    readonly said: () => string;
    readonly lives: () => boolean;
  }> {
    const word = join(folder, "endless-program");
    const child = `spawn("sh", ["-c", "sleep 1000; : ${word}"], { detached: true, stdio: "ignore" }).unref()`;
    const test = `import { spawn } from "node:child_process"; it("a", async () => { ${child}; await new Promise(() => setInterval(() => {}, 1_000)); }).timeout(120_000);`;
    const groups = [groupOf("endless", test), ...["b", "c", "never begun"].map((name) => groupOf(name, test))];
    const source = `import { runGroups } from ${JSON.stringify(join(ROOT, "test/lanes.ts"))};
process.exitCode = await runGroups(${JSON.stringify(groups)}, ${JSON.stringify(folder)}, (text) => process.stdout.write(text));`;
    const file = join(folder, "run.mjs");
    writeFileSync(file, source);
    const run = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", file], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    run.stdout?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const programs = () =>
      processIds()
        .map(commandLine)
        .filter((line) => line.includes(`sleep 1000; : ${word}`) && !line.includes("spawn(")).length;
    await waitFor("the program of each lane", () => programs() === 3 || undefined, { timeoutMs: 30_000 });
    return { run, said: () => said, lives: () => programs() > 0 };
  }

  it("leave nothing that a group started when they are asked to end, and name what was not run", async () => {
    const { run, said, lives } = await startEndless();
    run.kill("SIGTERM");
    await once(run, "close");
    expect(lives()).to.equal(false);
    expect(said()).to.match(/^SIGTERM: what runs is ended, and not run: never begun\n/);
    expect(said()).to.match(/\n0 passed, 3 failed\n$/);
  });

  it("leave nothing that a group started when they are killed", async () => {
    const { run, lives } = await startEndless();
    run.kill("SIGKILL");
    await waitFor("the programs to end", () => !lives() || undefined, { timeoutMs: 30_000 });
  });
});
