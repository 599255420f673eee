import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const MOCHA = join(ROOT, "node_modules/mocha/bin/mocha.js");
/** On a disk: /run and /tmp are memory on many machines, and a commit there costs nothing. */
const WORK = "/var/tmp/eos-lanes-";
/** For two processors: what runs waits for a third of its time. One lane has the booted hosts, which take longest, from the beginning. */
const LANES = 3;
/** What a group may say before it ends that is kept for the end; more is cut at its beginning. */
const MAX_KEPT = 8 << 20;
/** Enough for a last line. */
const MAX_LAST = 200;
/** What is told once more of a group that failed: a few failures with their stacks. */
const MAX_AGAIN = 6_000;

/** Files that one Mocha runs, small enough for the programs that it forks to be cheap: each copies its tables of pages. */
export interface Group {
  readonly name: string;
  /** Mocha's arguments. */
  readonly arguments: readonly string[];
  /** It boots machines, for which it needs this one's own processes, /run and cgroups; it takes away itself what a killed run left. */
  readonly boots: boolean;
}

interface Ended {
  readonly name: string;
  readonly output: string;
  readonly seconds: number;
  readonly passed: number;
  readonly failed: number;
}

/**
 * What `npm test` and `npm run test:hosts` run and these groups do not: a run that judges every change is to end within twenty minutes on
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

const group = (name: string, files: string, boots = false): Group => ({
  name,
  arguments: [...LONGEST.flatMap((file) => ["--ignore", file]), files],
  boots,
});

/** The longest first, so that no lane ends long after the others. */
export const GROUPS: readonly Group[] = [
  group("booted hosts", "test/hosts/**/*.test.ts", true),
  group("kernel", "test/kernel/**/*.test.ts"),
  group("faults", "test/faults/**/*.test.ts"),
  group("labs", "test/lab/**/*.test.ts"),
  group("terminators", "test/agent/terminator/**/*.test.ts"),
  group("bench", "test/bench/**/*.test.ts"),
  group("agent", "test/agent/{*,feed/*,nft/*}.test.ts"),
  group("registry's process and Storage", "test/registry/{process,rules,store}/**/*.test.ts"),
  group("registry's programs, doors and CA", "test/registry/{*,admin/**/*,ca/**/*,cli/**/*,feed/**/*}.test.ts"),
  group("register", "test/registry/http/**/*.test.ts"),
  group("house", "test/*.test.ts"),
  group("infra", "test/infra/**/*.test.ts"),
  group("fuzz", "test/fuzz/**/*.test.ts"),
  group("contracts and lib", "test/{contract,lib}/**/*.test.ts"),
  group("rotations and updates", "test/{rotation,updates}/**/*.test.ts"),
];

/**
 * Runs each group as a Mocha of its own, so many at a time as there are lanes; one is told whole when it has ended, and what failed in it
 * once more at the end, where it is found. The last line of `write` is the sum: "N passed, N failed". At SIGINT and SIGTERM all that runs is ended, with everything that it started.
 * @param folder for what the groups keep on a disk
 * @returns how many failed, for an exit code; a group that ended without its own count is one more
 */
export async function runGroups(groups: readonly Group[], folder: string, write: (text: string) => void): Promise<number> {
  const waiting = [...groups];
  const running = new Set<ChildProcess>();
  const ended: Ended[] = [];
  const stop = (signal: NodeJS.Signals) => {
    const left = waiting.splice(0).map(({ name }) => name);
    write(`${signal}: what runs is ended${left.length === 0 ? "" : `, and not run: ${left.join(", ")}`}\n`);
    for (const child of running) child.kill("SIGKILL");
  };
  const stops = ["SIGINT", "SIGTERM"] as const;
  for (const signal of stops) process.on(signal, stop);
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const one = await runGroup(next, join(folder, `labs-${groups.indexOf(next)}`), running);
      ended.push(one);
      write(`\n${one.name}\n${one.output}`);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: LANES }, work));
  for (const signal of stops) process.off(signal, stop);
  write("\n");
  for (const { name, passed, failed, seconds } of ended) write(`${name}: ${passed} passed, ${failed} failed in ${seconds} s\n`);
  for (const one of ended.filter((each) => each.failed > 0)) write(`\n${one.name}, once more what failed:\n${failures(one.output)}\n`);
  const failed = ended.reduce((sum, one) => sum + one.failed, 0);
  write(`All in ${secondsSince(start)} s\n${ended.reduce((sum, one) => sum + one.passed, 0)} passed, ${failed} failed\n`);
  return failed;
}

/**
 * Processes, network namespaces and labs of its own, none of which is seen by another group or outlives it. Labs' data stays on a disk.
 * It ends with the Mocha in it, also when that or whoever started it is killed. Its first process is the shell: signals that have no
 * handler, SIGKILL among them, do nothing to the first one.
 */
const APART = [
  ..."unshare --mount --pid --fork --kill-child --mount-proc sh -ec".split(" "),
  `mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/netns /var/lib/entityos-lab
mount --bind "$0" /var/lib/entityos-lab
"$@"
exit`,
];

function runGroup({ name, arguments: args, boots }: Group, labs: string, running: Set<ChildProcess>): Promise<Ended> {
  mkdirSync(labs);
  const mocha = [process.execPath, "--disable-warning=ExperimentalWarning", MOCHA, ...args];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...(boots ? [] : [...APART, labs]), ...mocha], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    // A Ctrl-C is the parent's to answer.
    detached: true,
  });
  running.add(child);
  const start = performance.now();
  let output = "";
  let last = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = `${output}${text}`.slice(-MAX_KEPT);
      if (stream === child.stdout) last = `${last}${text}`.slice(-MAX_LAST);
    });
  }
  return new Promise((resolve) => {
    const end = (said: string, counted: Pick<Ended, "passed" | "failed">) => {
      running.delete(child);
      resolve({ name, output: said, ...counted, seconds: secondsSince(start) });
    };
    child.once("error", (error) => end(`${output}${error.message}\n`, { passed: 0, failed: 1 }));
    child.once("close", (code) => end(output, count(last, code)));
  });
}

/** From Mocha's summary on, which lists each failure with its error; without one the end, where the reason is most likely. */
function failures(output: string): string {
  const summary = [...output.matchAll(/^.*\d+ passing .*$/gm)].at(-1)?.index;
  return (summary === undefined ? output.slice(-MAX_AGAIN) : output.slice(summary, summary + MAX_AGAIN)).trimEnd();
}

const secondsSince = (start: number): number => Math.round((performance.now() - start) / 1000);

/** The last line of the group's standard output; a run that ended otherwise than that says has failed. */
function count(last: string, code: number | null): Pick<Ended, "passed" | "failed"> {
  const found = /(?:^|\n)(\d+) passed, (\d+) failed\n$/.exec(last);
  const passed = Number(found?.[1] ?? 0);
  const failed = Number(found?.[2] ?? 0);
  return { passed, failed: failed > 0 || (found !== null && code === 0) ? failed : 1 };
}

/** Has scripts/run start the programs as they are shipped, each one file, and Node compile each source once, in all that this process starts. */
function prepare(folder: string): void {
  // Agents that are not root too.
  chmodSync(folder, 0o755);
  const built = join(folder, "built");
  execFileSync(process.execPath, [join(ROOT, "scripts/build.ts"), built], { stdio: ["ignore", "ignore", "inherit"] });
  process.env.ENTITYOS_BUILT = built;
  process.env.NODE_COMPILE_CACHE = join(folder, "compiled");
}

if (import.meta.main) {
  // What killed runs left.
  for (const left of globSync(`${WORK}*`)) {
    const [pid = ""] = left.slice(WORK.length).split("-");
    if (!existsSync(`/proc/${pid}`)) rmSync(left, { recursive: true });
  }
  const folder = mkdtempSync(`${WORK}${process.pid}-`);
  try {
    prepare(folder);
    const more = process.argv.slice(2);
    const groups = GROUPS.map((one) => ({ ...one, arguments: [...more, ...one.arguments] }));
    const failed = await runGroups(groups, folder, (text) => process.stdout.write(text));
    process.exitCode = Math.min(failed, 255);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
