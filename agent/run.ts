import { join } from "node:path";
import { delay } from "../lib/abort.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { makePrivateFolder, writeFileAtomic } from "../lib/file.ts";
import { Latch } from "../lib/latch.ts";
import type { Log } from "../lib/log.ts";
import { PATH } from "../lib/service.ts";
import { createNotifier, type Notifier } from "../lib/systemd.ts";
import { Alarms } from "./alarms.ts";
import type { AgentConfig } from "./config.ts";
import { FeedClient } from "./feed/client.ts";
import type { Effect } from "./feed/session.ts";
import { type AgentStateName, isStale } from "./lifecycle.ts";
import { startFloor } from "./nft/floor.ts";
import { renderClosedGate } from "./nft/gate.ts";
import { startMonitor } from "./nft/monitor.ts";
import { startNftTarget } from "./nft/target.ts";
import { Reconciler } from "./reconciler.ts";
import { StateFile } from "./state.ts";
import { type AgentStatus, serveStatus } from "./status.ts";
import { RegistryTime } from "./time.ts";
import { lookForAlarms, type Seen, stalenessOf, stateName, statusLine, statusOf } from "./view.ts";
import { type Living, watchOver } from "./watchdog.ts";

/** How often staleness, skew and state are looked at without any event. */
const TICK_MS = 1_000;
const KEEP_TIME_TICKS = 60;
/** A changed state is told to systemd at once, changed numbers this often. */
const STATUS_TICKS = 10;
/** Pause between two rounds of asking the parts whether they live, when systemd does not say how often it wants to hear. */
const ROUND_MS = 10_000;

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly version: string;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  readonly notifier?: Notifier;
  /** Command and arguments that nft is run through, such as `nsenter --net=…`; none by default. */
  readonly within?: readonly string[];
}

/**
 * Runs the agent until the signal aborts: last good state → floor → gate → READY → feed. The gate stays in the kernel afterwards.
 * READY says that the kernel holds what the disk holds, on a fresh host a closed gate: before the network is up, and without the registry.
 * @throws AlreadyRunningError, or the error of a part that cannot go on
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { config, log } = options;
  await using stack = new AsyncDisposableStack();
  makePrivateFolder(config.stateDir);
  makePrivateFolder(config.runtimeDir);
  let view: () => AgentStatus | null = () => null;
  stack.use(await serveStatus(join(config.runtimeDir, PATH.agentSocketName), () => view()));

  // Declared after the stack, so ended before it: nobody works with parts that are being taken away.
  await using crew = new Crew(options.signal);
  const notifier = options.notifier ?? createNotifier((error) => log.warn({ err: error }, "Cannot tell systemd"));
  const state = stack.use(StateFile.open(join(config.stateDir, "state.db"), config.name, log));
  const agent = await startParts(options, state, stack, crew);
  view = agent.status;
  await Promise.race([agent.reconciler.stands, crew.failed]);
  log.info({ state: agent.state(), rules: agent.status().rules }, "Gate stands");
  // For the next boot, when the gate must be closed before this program can run. The kernel took it, so it will load.
  writeFileAtomic(join(config.stateDir, PATH.closedGateName), renderClosedGate(config));
  await notifier.ready(statusLine(agent.status()));
  // Three rounds in the time that systemd waits.
  const everyMs = notifier.watchdogMs === null ? ROUND_MS : notifier.watchdogMs / 3;
  const onRound = async (silent: readonly string[]) => {
    agent.alarms.set("not_answering", silent.length > 0 ? { silent } : null);
    if (silent.length === 0) await notifier.alive();
  };
  crew.run(watchOver({ parts: agent.living, everyMs, onRound, log, signal: crew.signal }));
  if (agent.feed !== null) crew.run(agent.feed.run(crew.signal));

  let told: AgentStateName | null = null;
  let line = statusLine(agent.status());
  for (let tick = 0; !crew.signal.aborted; tick++) {
    const now = agent.state();
    const next = statusLine(agent.status());
    if (now !== told || (next !== line && tick % STATUS_TICKS === 0)) {
      if (now !== told) log.info({ was: told, now }, "State");
      await notifier.status(next);
      told = now;
      line = next;
    }
    agent.tick(tick);
    await Promise.race([delay(TICK_MS, crew.signal).catch(() => {}), crew.failed]);
  }
  await notifier.stopping();
}

/** Work in the background: the first that fails stops all and is the reason; dispose waits for the rest. */
class Crew implements AsyncDisposable {
  readonly #abort = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  readonly #work: Promise<unknown>[] = [];
  readonly signal: AbortSignal;

  constructor(asked: AbortSignal) {
    this.signal = AbortSignal.any([asked, this.#abort.signal]);
    this.#failed.promise.catch(() => {});
  }

  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  run(work: Promise<unknown>): void {
    this.#work.push(work.catch((error: unknown) => this.#failed.reject(error)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("the agent stops"));
    await Promise.all(this.#work);
  }
}

/** What is owned by the stack and driven by the crew, as the loop above and the status socket see it. */
interface Parts {
  readonly reconciler: Reconciler;
  readonly feed: FeedClient | null;
  readonly alarms: Alarms;
  readonly living: readonly Living[];
  readonly state: () => AgentStateName;
  readonly status: () => AgentStatus;
  readonly tick: (tick: number) => void;
}

async function startParts(
  { config, version, log, clock = systemClock, within = [] }: AgentOptions,
  state: StateFile,
  stack: AsyncDisposableStack,
  crew: Crew,
): Promise<Parts> {
  const restricted = config.zone === "restricted";
  const { desired, seenMs } = state.load(config.ceiling, log);
  const time = new RegistryTime(clock, seenMs);
  const settled = new Latch();
  const { signal } = crew;
  const alarms = new Alarms(log);
  const onLost = () => alarms.set("floor_lost", {});
  const floor = restricted ? stack.use(await startFloor({ config, log, signal, onLost, within })) : null;
  const target = stack.use(await startNftTarget({ config, now: () => time.now(), log, signal, within }));
  const onEffect = (effect: Effect) => {
    if (effect.kind === "changed") reconciler.ring();
    else if (effect.kind === "replaced") reconciler.replaced(effect.kept);
  };
  const feed = new FeedClient({ config, version, desired, time, clock, log, settled, onEffect, acknowledged: () => reconciler.applied });
  const reconciler: Reconciler = new Reconciler({
    desired,
    targets: [target],
    state,
    time,
    clock,
    log,
    settled,
    isClosed: () => restricted && config.stale.action === "close" && isStale(stalenessOf(config, feed)),
    onApplied: (applied) => feed.applied(applied.tookMs),
  });
  // Before anything large is loaded: a watcher first reads the whole ruleset in.
  stack.use(await startMonitor({ log, signal, onTampered: (what: string) => reconciler.requestResync(what), within }));
  crew.run(reconciler.run(signal));
  const seen: Seen = { config, version, desired, time, feed, reconciler, floor, alarms, stopping: () => signal.aborted };
  return {
    reconciler,
    feed: restricted ? feed : null,
    alarms,
    living: [reconciler, target, ...(floor === null ? [] : [floor])],
    state: () => stateName(seen),
    status: () => statusOf(seen),
    tick: (tick) => {
      if (tick % KEEP_TIME_TICKS === 0) state.saveTime(time.seenMs);
      // Staleness may have begun or ended: the loop compares with what it last did.
      if (config.stale.afterSeconds > 0) reconciler.ring();
      lookForAlarms(seen);
    },
  };
}
