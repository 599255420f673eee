import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { TerminatorKind } from "../../agent/config.ts";
import { EXIT } from "../../lib/service.ts";
import { removeLab } from "./folder.ts";
import { interruption } from "./interrupt.ts";
import { type Lab, startLab } from "./lab.ts";
import { LAB, LabError, terminatorNamed } from "./plan.ts";
import { Scene } from "./scene.ts";
import { STEPS } from "./story-steps.ts";
import type { Memory, Step } from "./story-tools.ts";
import { duration } from "./terminal.ts";
import { whatToTry } from "./try.ts";

const HELP = `npm start [-- --once] [-- --json] [-- --terminator haproxy|nginx] [-- --name NAME]

Builds both zones on this machine in network namespaces, from the programs that users install, and shows what the gate
does: each step timed, each checked. Then it stays, says what to try, and takes everything away at Ctrl-C.

--once        does not stay; exits 0 only if every step did what it must
--json        prints the result as one JSON object on standard output, the story on standard error
--terminator  what ends TLS on the hosts, HAProxy unless said
--name        name of the lab, 'start' unless said: what a killed run of this name left behind is taken away first

Needs root.
`;

const LAST_LINES = 10;

interface Told {
  readonly key: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly detail: string;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      once: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      terminator: { type: "string", default: "haproxy" },
      name: { type: "string", default: "start" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write("npm start makes network namespaces: run it as root.\n");
    return EXIT.permission;
  }
  const signal = interruption();
  const say = (text: string) => (values.json ? process.stderr : process.stdout).write(text);
  try {
    return await tell({ ...values, terminator: terminatorNamed(values.terminator) }, say, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    say("\nInterrupted; everything is taken away.\n");
    return EXIT.failed;
  }
}

interface Wish {
  readonly once: boolean;
  readonly json: boolean;
  readonly terminator: TerminatorKind;
  readonly name: string;
}

async function tell({ once, json, terminator, name }: Wish, say: (text: string) => void, signal: AbortSignal): Promise<number> {
  if (await removeLab(name)) say("What an earlier run left behind is taken away.\n");
  const startedAt = performance.now();
  await using lab = await startLab({ name, agents: 2, devices: 3, roaming: 1, terminator, signal });
  const upMs = performance.now() - startedAt;
  say(`\nentityOS gate: an open and a restricted zone on this machine, up in ${duration(upMs)}\n\n`);
  await using scene = await Scene.open(lab);
  const told = await play(scene, say, signal);
  const ok = told.length === STEPS.length && told.every((step) => step.ok);
  say(ok ? "\nEvery step did what it must.\n" : `\nNot every step did what it must. The programs' last words:\n${lastWords(lab)}`);
  if (json) {
    const times = Object.fromEntries(told.map((step) => [step.key, round(step.ms)]));
    process.stdout.write(
      `${JSON.stringify({ ok, upMs: round(upMs), times, steps: told.map((step) => ({ ...step, ms: round(step.ms) })) })}\n`,
    );
  }
  if (!once && ok) await stay(lab, scene, say, signal);
  return ok ? EXIT.ok : EXIT.failed;
}

/** Plays the steps up to the first that fails. */
async function play(scene: Scene, say: (text: string) => void, signal: AbortSignal): Promise<readonly Told[]> {
  const memory: Memory = { code: "", first: "", second: "" };
  const told: Told[] = [];
  for (const step of STEPS) {
    signal.throwIfAborted();
    const outcome = await playStep(step, scene, memory, signal);
    told.push(outcome);
    const mark = outcome.ok ? " ok " : "FAIL";
    say(`${mark}  ${step.title.padEnd(39)} ${outcome.ok ? duration(outcome.ms).padStart(7) : "       "}  ${outcome.detail}\n`);
    if (!outcome.ok) break;
  }
  return told;
}

async function playStep(step: Step, scene: Scene, memory: Memory, signal: AbortSignal): Promise<Told> {
  try {
    return { key: step.key, ok: true, ...(await step.run(scene, memory)) };
  } catch (error) {
    signal.throwIfAborted();
    return { key: step.key, ok: false, ms: 0, detail: error instanceof Error ? error.message : String(error) };
  }
}

/** The ends of the logs, which go with the lab. */
function lastWords({ description }: Lab): string {
  const ends = Object.values(description.logs).map(
    (file) => `\n${file}\n${readFileSync(file, "utf8").trimEnd().split("\n").slice(-LAST_LINES).join("\n")}\n`,
  );
  return ends.join("");
}

async function stay(lab: Lab, scene: Scene, say: (text: string) => void, signal: AbortSignal): Promise<void> {
  const address = await scene.makeCode("you", 1);
  say(whatToTry(lab, { address, certificate: await scene.makeCode("you", 1, LAB.certProfile) }));
  await new Promise<void>((resolve) => {
    // A timer, for a promise alone does not keep the process.
    const timer = setInterval(() => {}, 1 << 30);
    const end = () => {
      clearInterval(timer);
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
  say("\nTaking everything away.\n");
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

try {
  process.exitCode = await main();
} catch (error) {
  const known = error instanceof LabError || (error instanceof TypeError && "code" in error);
  process.stderr.write(`${error instanceof Error ? (known ? error.message : error.stack) : String(error)}\n`);
  process.exitCode = error instanceof TypeError && "code" in error ? EXIT.usage : EXIT.failed;
}
