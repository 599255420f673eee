import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const MOCHA = join(ROOT, "node_modules/mocha/bin/mocha.js");
/** What a lane may say before it ends that is kept for the end; more is cut at its beginning. */
const MAX_KEPT = 8 << 20;
/** Enough for a last line. */
const MAX_LAST = 200;

export interface Lane {
  readonly name: string;
  /** Mocha's arguments. */
  readonly arguments: readonly string[];
}

interface Ended {
  readonly output: string;
  /** Wall-clock time of the whole run. */
  readonly seconds: number;
  readonly passed: number;
  readonly failed: number;
}

/** Labs are zones too, and go where there is time for them. */
const HOSTS = "test/{hosts,lab}/**/*.test.ts";
/** Most of the time that a machine without booted hosts needs, in folders where little is worked and much is waited for. */
const ZONES = "test/{agent,faults,kernel,rotation,updates}/**/*.test.ts";
/**
 * What `npm test` and `npm run test:hosts` run and these lanes do not: a run that judges every change is to end within twenty minutes on
 * two processors, and with these it did not.
 */
export const LONGEST: readonly string[] = [
  "test/agent/terminator/standard.test.ts",
  "test/faults/clock.test.ts",
  "test/faults/feed-cut.test.ts",
  "test/faults/killed-under-load.test.ts",
  "test/hosts/decision.test.ts",
  "test/infra/aws/readme.test.ts",
  "test/kernel/flood.test.ts",
  "test/lab/rates.test.ts",
  "test/lab/restored.test.ts",
  "test/lab/secrets.test.ts",
  "test/registry/main-kms.test.ts",
  "test/updates/updates.test.ts",
];
const ignored = (...patterns: readonly string[]): string[] => patterns.flatMap((pattern) => ["--ignore", pattern]);

/** Three runs: hosts and zones wait most of their time, so that two processors do all at one time. */
export const LANES: readonly Lane[] = [
  { name: "the rest", arguments: [...ignored(HOSTS, ZONES, ...LONGEST), "test/**/*.test.ts"] },
  { name: "zones", arguments: [...ignored(...LONGEST), ZONES] },
  { name: "booted hosts and labs", arguments: [...ignored(...LONGEST), HOSTS] },
];

/**
 * Runs each lane as a Mocha of its own, all at one time. The first is heard as it runs, the others when they have ended. The last
 * line of `write` is the sum: "N passed, N failed".
 * @returns how many failed, for an exit code; a lane that ended without its own count is one more
 */
export async function runLanes(lanes: readonly Lane[], write: (text: string) => void): Promise<number> {
  const children: ChildProcess[] = [];
  const stop = (signal: NodeJS.Signals) => {
    for (const child of children) child.kill(signal);
  };
  const stops = ["SIGINT", "SIGTERM"] as const;
  for (const signal of stops) process.on(signal, stop);
  const others = lanes.slice(1).map(({ name }) => name);
  if (others.length > 0) write(`At the same time, told at the end: ${others.join(", ")}.\n`);
  const ended = await Promise.all(lanes.map((lane, index) => runLane(lane, index === 0 ? write : () => undefined, children)));
  for (const signal of stops) process.off(signal, stop);
  for (const [index, { output }] of ended.entries()) if (index > 0) write(`\n${lanes[index]?.name}\n${output}`);
  for (const [index, { passed, failed, seconds }] of ended.entries())
    write(`${lanes[index]?.name}: ${passed} passed, ${failed} failed in ${seconds} s\n`);
  const failed = ended.reduce((sum, lane) => sum + lane.failed, 0);
  write(`${ended.reduce((sum, lane) => sum + lane.passed, 0)} passed, ${failed} failed\n`);
  return failed;
}

function runLane(lane: Lane, hear: (text: string) => void, children: ChildProcess[]): Promise<Ended> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MOCHA, ...lane.arguments], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const start = performance.now();
  const seconds = () => Math.round((performance.now() - start) / 1000);
  let output = "";
  let last = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = `${output}${text}`.slice(-MAX_KEPT);
      if (stream === child.stdout) last = `${last}${text}`.slice(-MAX_LAST);
      hear(text);
    });
  }
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ output: `${output}${error.message}\n`, passed: 0, failed: 1, seconds: seconds() }));
    child.once("close", (code) => resolve({ output, ...count(last, code), seconds: seconds() }));
  });
}

/** The last line of the lane's standard output; a run that ended otherwise than that says has failed. */
function count(last: string, code: number | null): Pick<Ended, "passed" | "failed"> {
  const found = /(?:^|\n)(\d+) passed, (\d+) failed\n$/.exec(last);
  const passed = Number(found?.[1] ?? 0);
  const failed = Number(found?.[2] ?? 0);
  return { passed, failed: failed > 0 || (found !== null && code === 0) ? failed : 1 };
}

/** Has scripts/run start the programs as they are shipped, each one file, in all that this process starts. Dispose takes them away. */
function startBuilt(): Disposable {
  const folder = mkdtempSync(join(tmpdir(), "eos-built-"));
  execFileSync(process.execPath, [join(ROOT, "scripts/build.ts"), folder], { stdio: ["ignore", "ignore", "inherit"] });
  // Agents that are not root too.
  chmodSync(folder, 0o755);
  process.env.ENTITYOS_BUILT = folder;
  return { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

if (import.meta.main) {
  using _built = startBuilt();
  const more = process.argv.slice(2);
  const lanes = LANES.map((lane) => ({ ...lane, arguments: [...more, ...lane.arguments] }));
  const failed = await runLanes(lanes, (text) => process.stdout.write(text));
  process.exitCode = Math.min(failed, 255);
}
