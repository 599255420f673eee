import { Chance } from "./random.ts";
import { Stand } from "./stand.ts";
import { Stranger } from "./stranger.ts";
import { carryOut, drawStrikes } from "./strike.ts";
import { Supervisor } from "./supervisor.ts";
import { Traffic } from "./traffic.ts";

export interface Wish {
  readonly name: string;
  readonly rounds: number;
  readonly seed: number;
  readonly agents: number;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

export interface Round {
  readonly strikes: readonly string[];
  readonly asked: number;
  readonly unanswered: number;
  readonly rules: number;
  readonly knocks: number;
  /** From the end of the stream until everything was as it must be. */
  readonly restMs: number;
}

export interface Result {
  readonly rounds: readonly Round[];
  readonly restarts: number;
  readonly arrived: number;
  /** What did not hold; the run ends with the first round that has any. */
  readonly problems: readonly string[];
}

const CALLERS = 6;
const MOST_STRIKES = 4;
/** How long the system may take until everything is at rest after the last strike: a feed reconnects after 30 s at most. */
const REST_TIMEOUT_MS = 90_000;
/** The stream goes on this long after the last strike. */
const STREAM_ON_MS = 300;

/** Rounds of strikes under a stream of requests, each checked against what was answered. */
export async function runFaults({ name, rounds, seed, agents, signal, progress }: Wish): Promise<Result> {
  await using stack = new AsyncDisposableStack();
  const stand = stack.use(await Stand.open({ name, agents, signal, progress }));
  const { plan, control, model, send, registry } = stand;
  const stranger = stack.use(await Stranger.start(plan, stand.stranger));
  const chance = new Chance(seed);
  const traffic = new Traffic({ model, send, control, registry, chance: chance.fork() });
  const supervisor = stack.use(new Supervisor(plan));
  const told: Round[] = [];
  const problems: string[] = [];
  let silence = await stranger.heard();
  while (told.length < rounds && problems.length === 0) {
    signal.throwIfAborted();
    const strikes = drawStrikes(chance, supervisor, plan.hosts, MOST_STRIKES);
    const before = { ...traffic.counts };
    const knocksBefore = silence.knocks;
    const done = await strikeUnderStream(traffic, strikes, signal);
    const endedAt = performance.now();
    await traffic.settle();
    problems.push(...traffic.violations);
    if (problems.length === 0) problems.push(...(await stand.check(REST_TIMEOUT_MS)));
    const restMs = performance.now() - endedAt;
    silence = await stranger.heard();
    problems.push(...silence.answers.map((answer) => `a stranger was answered: ${answer}`), ...supervisor.unexpected);
    const { asked, unanswered } = traffic.counts;
    told.push({
      strikes: done,
      asked: asked - before.asked,
      unanswered: unanswered - before.unanswered,
      rules: model.rules(Date.now()).size,
      knocks: silence.knocks - knocksBefore,
      restMs,
    });
    progress(`round ${told.length}: ${done.join(", ") || "nothing struck"}; at rest after ${(restMs / 1_000).toFixed(1)} s`);
  }
  return { rounds: told, restarts: supervisor.restarts, arrived: silence.arrived, problems };
}

async function strikeUnderStream(
  traffic: Traffic,
  strikes: Parameters<typeof carryOut>[0],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const ending = new AbortController();
  const stream = traffic.run(CALLERS, AbortSignal.any([signal, ending.signal]));
  try {
    const done = await carryOut(strikes, signal);
    await new Promise((resolve) => setTimeout(resolve, STREAM_ON_MS));
    return done;
  } finally {
    ending.abort();
    await stream;
  }
}
