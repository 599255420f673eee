import { join } from "node:path";
import { aborted, delay, type Wakeup } from "../lib/abort.ts";
import { makePrivateFolder, writeFileAtomic } from "../lib/file.ts";
import type { Log } from "../lib/log.ts";
import { createMetrics, type Metrics } from "../lib/metrics.ts";
import { PATH } from "../lib/service.ts";
import { createNotifier, type Notifier } from "../lib/systemd.ts";
import { tolerateDisk } from "./alarms.ts";
import type { AgentConfig } from "./config.ts";
import { Crew } from "./crew.ts";
import type { AgentStateName } from "./lifecycle.ts";
import { AgentMetrics } from "./metrics.ts";
import { renderClosedGate } from "./nft/gate.ts";
import { type Parts, type PartsOptions, startParts } from "./parts.ts";
import type { Loaded } from "./reload.ts";
import { StateFile } from "./state.ts";
import { serveStatus } from "./status.ts";
import { statusLine } from "./view.ts";
import { watchOver } from "./watchdog.ts";

/** How often staleness, skew and state are looked at without any event. */
const TICK_MS = 1_000;
/** A changed state is told to systemd at once, changed numbers this often. */
const STATUS_TICKS = 10;
/** Pause between two rounds of asking the parts whether they live, when systemd does not say how often it wants to hear. */
const ROUND_MS = 10_000;

export interface AgentOptions extends PartsOptions {
  readonly signal: AbortSignal;
  readonly notifier?: Notifier;
  /** Where the agent's own are told beside others; by themselves if not given. */
  readonly metrics?: Metrics;
  /** Rings when the configuration is to be read again by `load`, which throws when it cannot be used. */
  readonly reloads?: { readonly bell: Wakeup; readonly load: () => Loaded };
}

/**
 * Runs the agent until the signal aborts: last good state → floor → gate → READY → feed. The gate stays in the kernel afterwards.
 * READY says that the kernel holds what the disk holds, on a fresh host a closed gate: before the network is up, and without the registry.
 * @throws AlreadyRunningError, or the error of a part that cannot go on
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { log } = options;
  const { config } = options.loaded;
  await using stack = new AsyncDisposableStack();
  makePrivateFolder(config.stateDir);
  makePrivateFolder(config.runtimeDir);
  let running: Parts | null = null;
  const status = () => running?.status() ?? null;
  const metrics = new AgentMetrics(options.metrics ?? createMetrics({ process: false }), status);
  const answers = { status, metrics: () => metrics.text(), accept: (epoch: string) => running?.feed?.accept(epoch) };
  stack.use(await serveStatus(join(config.runtimeDir, PATH.agentSocketName), answers));

  // Declared after the stack, so ended before it: nobody works with parts that are being taken away.
  await using crew = new Crew(options.signal);
  const notifier = options.notifier ?? createNotifier((error) => log.warn({ err: error }, "Cannot tell systemd"));
  const state = stack.use(StateFile.open(join(config.stateDir, "state.db"), config.name, log));
  const agent = await startParts({ ...options, onApplied: (applied) => metrics.applied(applied) }, state, stack, crew);
  running = agent;
  await Promise.race([agent.reconciler.stands, crew.failed, aborted(crew.signal)]);
  // Told to stop before it had made the gate.
  if (crew.signal.aborted) return await notifier.stopping();
  log.info({ state: agent.state(), rules: agent.status().rules }, "Gate stands");
  tolerateDisk(agent.alarms, () => keepClosedGate(config));
  await notifier.ready(statusLine(agent.status()));
  crew.run(watch(agent, notifier, log, crew.signal));
  if (agent.feed !== null) crew.run(agent.feed.run(crew.signal));
  if (options.reloads !== undefined) crew.run(reloadWhenAsked(agent, options.reloads, notifier, log, crew.signal));
  await tellStates(agent, notifier, log, crew);
  await notifier.stopping();
}

/** For the next boot, when the gate must be closed before this program can run. The kernel took it, so it will load. */
function keepClosedGate(config: AgentConfig): void {
  writeFileAtomic(join(config.stateDir, PATH.closedGateName), renderClosedGate(config));
}

/** Three rounds in the time that systemd waits. */
function watch(agent: Parts, notifier: Notifier, log: Log, signal: AbortSignal): Promise<void> {
  const everyMs = notifier.watchdogMs === null ? ROUND_MS : notifier.watchdogMs / 3;
  const onRound = async (silent: readonly string[]) => {
    agent.alarms.set("not_answering", silent.length > 0 ? { silent } : null);
    if (silent.length === 0) await notifier.alive();
  };
  return watchOver({ parts: agent.living, everyMs, onRound, log, signal });
}

async function tellStates(agent: Parts, notifier: Notifier, log: Log, crew: Crew): Promise<void> {
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
}

/** One reload at a time; the next one asked for ends the wait for a gate that does not come to stand. */
async function reloadWhenAsked(
  agent: Parts,
  { bell, load }: NonNullable<AgentOptions["reloads"]>,
  notifier: Notifier,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  for (let seen = 0; ; ) {
    await bell.after(seen, signal).catch(() => {});
    if (signal.aborted) return;
    seen = bell.count;
    const next = new AbortController();
    const until = AbortSignal.any([signal, next.signal]);
    await notifier.reloading();
    void bell.after(seen, until).then(
      () => next.abort(new Error("another reload is asked for")),
      () => {},
    );
    try {
      const loaded = load();
      await agent.reload(loaded, until);
      tolerateDisk(agent.alarms, () => keepClosedGate(loaded.config));
      agent.alarms.set("reload_refused", null);
      log.info({}, "The configuration is in force");
    } catch (error) {
      if (signal.aborted) return;
      agent.alarms.set("reload_refused", { err: error });
    } finally {
      next.abort();
    }
    await notifier.ready(statusLine(agent.status()));
  }
}
