import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { LANES, type Lane, LONGEST, runLanes } from "./lanes.ts";

const SOURCES = {
  passes: `it("a", () => {});`,
  fails: `it("a", () => {}); it("b", () => { throw new Error("b"); }); it("c", () => { throw new Error("c"); });`,
  absent: `import "./absent.ts";`,
  killed: `it("a", () => { process.kill(process.pid, "SIGKILL"); });`,
  late: `it("a", () => { setTimeout(() => { throw new Error("late"); }, 20); });`,
};

const ROOT = join(import.meta.dirname, "..");

describe("lanes of tests", () => {
  const folder = mkdtempSync(join(tmpdir(), "eos-lanes-"));
  after(() => rmSync(folder, { recursive: true }));
  const lane = (name: keyof typeof SOURCES): Lane => {
    const file = join(folder, `${name}.test.mjs`);
    writeFileSync(file, SOURCES[name]);
    return { name, arguments: [file] };
  };

  /** What the lanes count to, and the last line. */
  const CASES: readonly [what: string, lanes: readonly (keyof typeof SOURCES)[], failed: number, last: string][] = [
    ["both pass", ["passes", "passes"], 0, "2 passed, 0 failed"],
    ["the one that is told later fails", ["passes", "fails"], 2, "2 passed, 2 failed"],
    ["the one that is heard fails", ["fails", "passes"], 2, "2 passed, 2 failed"],
    ["one does not load", ["passes", "absent"], 1, "1 passed, 1 failed"],
    ["one is killed before its count", ["passes", "killed"], 1, "1 passed, 1 failed"],
    ["one fails after its last test", ["passes", "late"], 1, "2 passed, 1 failed"],
  ];
  for (const [what, names, failed, last] of CASES) {
    it(`end with "${last}" where ${what}`, async () => {
      let output = "";
      const told = await runLanes(names.map(lane), (text) => {
        output += text;
      });
      expect(told).to.equal(failed);
      expect(output.endsWith(`\n${last}\n`), output).to.equal(true);
    });
  }

  it("tell what each said, the second after the first", async () => {
    let output = "";
    await runLanes([lane("passes"), lane("fails")], (text) => {
      output += text;
    });
    expect(output.startsWith("At the same time, told at the end: fails.\n")).to.equal(true);
    expect(output.indexOf("\nfails\n")).to.be.greaterThan(output.indexOf("1 passed, 0 failed"));
    expect(output).to.contain("Error: c");
    expect(output).to.match(/\npasses: 1 passed, 0 failed in \d+ s\nfails: 1 passed, 2 failed in \d+ s\n2 passed, 2 failed\n$/);
  });

  it("have every file of tests in one of them, but for the longest", async () => {
    const files = (args: readonly string[]) => {
      const ignored = new Set(args.flatMap((argument, index) => (args[index - 1] === "--ignore" ? globSync(argument, { cwd: ROOT }) : [])));
      return globSync(args.at(-1) ?? "", { cwd: ROOT }).filter((file) => !ignored.has(file));
    };
    const inLanes = LANES.map(({ arguments: args }) => files(args));
    for (const lane of inLanes) expect(lane).not.to.deep.equal([]);
    expect([...inLanes.flat(), ...LONGEST].sort()).to.deep.equal(globSync("test/**/*.test.ts", { cwd: ROOT }).sort());
  });
});
