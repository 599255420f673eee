import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

const MOCHA = join(import.meta.dirname, "../node_modules/mocha/bin/mocha.js");
const CONFIG = join(import.meta.dirname, "../.mocharc.json");

/** What the test file is, and the last line and exit code that its run must end with. */
const CASES: readonly [what: string, source: string, lastLine: string, exitCode: number][] = [
  ["a test that passes", `it("a", () => {});`, "1 passed, 0 failed", 0],
  ["tests that fail", `it("a", () => { throw new Error("a"); }); it("b", () => { throw new Error("b"); });`, "0 passed, 2 failed", 2],
  ["a pending test", `it("a"); it("b", () => {});`, "1 passed, 1 failed", 1],
  ["a skipped test", `it("a", function () { this["skip"](); });`, "0 passed, 1 failed", 1],
  ["a test left alone by only", `it["only"]("a", () => {}); it("b", () => { throw new Error("b"); });`, "0 passed, 1 failed", 1],
  ["no test at all", `describe("a", () => {});`, "0 passed, 1 failed", 1],
  ["a file that does not load", `import "./absent.ts";`, "0 passed, 1 failed", 1],
  ["a failing hook", `before(() => { throw new Error("a"); }); it("b", () => {});`, "0 passed, 1 failed", 1],
  [
    "a rejection that nobody handles",
    `it("a", () => { void Promise.reject(new Error("a")); return new Promise(() => {}); });`,
    "0 passed, 1 failed",
    1,
  ],
  ["an exit in the middle of a run", `it("a", () => {}); it("b", () => { process.exit(0); }); it("c", () => {});`, "1 passed, 1 failed", 1],
  ["an error after the last test", `it("a", () => { setTimeout(() => { throw new Error("a"); }, 20); });`, "1 passed, 1 failed", 1],
  ["a rejection after the last test", `it("a", () => { setTimeout(() => Promise.reject(1), 20); });`, "1 passed, 1 failed", 1],
  ["a timer left open", `it("a", () => { setInterval(() => {}, 1000); });`, "1 passed, 1 failed", 1],
];

describe("the reporter", () => {
  const folder = mkdtempSync(join(tmpdir(), "eos-reporter-"));
  after(() => rmSync(folder, { recursive: true }));

  for (const [index, [what, source, lastLine, exitCode]] of CASES.entries()) {
    it(`ends with "${lastLine}" after ${what}`, () => {
      const file = join(folder, `${index}.test.mjs`);
      writeFileSync(file, source);
      const run = spawnSync(process.execPath, [MOCHA, "--config", CONFIG, "--reporter-option", "leakMs=300", file], {
        encoding: "utf8",
        timeout: 25_000,
      });
      expect({ lastLine: run.stdout.trimEnd().split("\n").at(-1), exitCode: run.status }).to.deep.equal({ lastLine, exitCode });
    });
  }
});
