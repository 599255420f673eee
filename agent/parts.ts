import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Clock, systemClock } from "../lib/clock.ts";
import { Latch } from "../lib/latch.ts";
import type { Log } from "../lib/log.ts";
import { PATH } from "../lib/service.ts";
import { Alarms, tolerateDisk } from "./alarms.ts";
import { Belief } from "./belief.ts";
import { Comparing } from "./compare.ts";
import type { AgentConfig } from "./config.ts";
import type { Crew } from "./crew.ts";
import { CrlAges } from "./crl-ages.ts";
import type { DesiredState } from "./desired.ts";
import { FeedClient } from "./feed/client.ts";
import { fetchCrl } from "./feed/crl.ts";
import { identityOf } from "./feed/identity.ts";
import { Renewing } from "./feed/renewing.ts";
import type { Effect } from "./feed/session.ts";
import { type AgentStateName, isStale } from "./lifecycle.ts";
import { checkGate } from "./nft/check.ts";
import { type Floor, startFloor } from "./nft/floor.ts";
import { Ground } from "./nft/ground.ts";
import { type StructureMonitor, startMonitor } from "./nft/monitor.ts";
import { type NftTarget, startNftTarget } from "./nft/target.ts";
import { followedRoots, followRoots } from "./pins.ts";
import { type Applied, Reconciler } from "./reconciler.ts";
import { type Loaded, reloadPlan } from "./reload.ts";
import { serviceFiles, shownLife } from "./service-certificate.ts";
import type { StateFile } from "./state.ts";
import type { AgentStatus } from "./status.ts";
import type { Cut } from "./target.ts";
import { HaproxyTarget } from "./terminator/haproxy.ts";
import { type NginxOptions, NginxTarget } from "./terminator/nginx.ts";
import type { Terminator } from "./terminator/settings.ts";
import { RegistryTime } from "./time.ts";
import { toldState } from "./told-state.ts";
import { lookForAlarms, type Seen, stalenessOf, stateName, statusOf } from "./view.ts";
import type { Living } from "./watchdog.ts";

/** An alarm about somebody else's deed stays on this long after the last one. */
const TAMPERED_FOR_MS = 300_000;
const KEEP_TIME_TICKS = 60;
const CHECK_TIMEOUT_MS = 10_000;

export interface PartsOptions {
  readonly loaded: Loaded;
  readonly version: string;
  readonly log: Log;
  readonly clock?: Clock;
  readonly onApplied?: (applied: Applied) => void;
  /** Command and arguments that nft is run through, such as `nsenter --net=…`; none by default. */
  readonly within?: readonly string[];
}

/** What is owned by the stack and driven by the crew, as the loop and the status socket see it. */
export interface Parts {
  readonly reconciler: Reconciler;
  readonly feed: FeedClient | null;
  readonly alarms: Alarms;
  readonly living: readonly Living[];
  readonly state: () => AgentStateName;
  readonly status: () => AgentStatus;
  readonly tick: (tick: number) => void;
  /**
   * Puts another configuration in force, without an open moment; resolves when it is.
   * @throws ReloadRefusedError, NftError when it cannot be: the old one is in force as it was
   */
  readonly reload: (next: Loaded, signal: AbortSignal) => Promise<void>;
}

export async function startParts(
  { loaded, version, log, clock = systemClock, within = [], onApplied = () => {} }: PartsOptions,
  state: StateFile,
  stack: AsyncDisposableStack,
  crew: Crew,
): Promise<Parts> {
  const live = { loaded };
  const { config } = loaded;
  const restricted = config.zone === "restricted";
  const time = new RegistryTime(clock, state.seenMs);
  const desired = state.load(
    config.ceiling,
    beliefOf(loaded, () => time.now()),
    log,
  );
  const settled = new Latch();
  const { signal } = crew;
  const alarms = new Alarms(log);
  const onLost = () => alarms.set("floor_lost", {});
  const floor = restricted ? stack.use(await startFloor({ config, log, signal, onLost, within })) : null;
  const ground = new Ground(config);
  await (restricted ? ground.cover([config.gate], signal) : ground.release(signal)).catch((err: unknown) =>
    alarms.set("ground_not_told", { err }),
  );
  const watching: { monitor?: StructureMonitor } = {};
  const onLoad = (elements: number) => watching.monitor?.expect(elements);
  const target = stack.use(await startNftTarget({ config, now: () => time.now(), log, signal, within, onLoad }));
  const tampered = (name: "structure_tampered" | "elements_tampered", fields: object) => {
    alarms.set(name, fields);
    tamperedAtMs.set(name, clock.monotonic());
  };
  const tamperedAtMs = new Map<"structure_tampered" | "elements_tampered", number>();
  const now = () => time.now();
  const cut: Cut = (flows, until) => target.cut(flows, until);
  const asking = () => identityOf(live.loaded.config);
  const terminator = await startTerminator({ config, log, signal, now, cut }, asking, stack);
  const onEffect = (effect: Effect) => {
    if (effect.kind === "changed") reconciler.ring();
    else if (effect.kind === "replaced") reconciler.replaced(effect.kept);
  };
  const feed = new FeedClient({
    ...{ version, desired, time, clock, log, settled, onEffect },
    get config() {
      return live.loaded.config;
    },
    acknowledged: () => reconciler.applied,
    onRenew: (spreadMs) => renewing.soon(spreadMs),
  });
  const follower = new RootFollower();
  const reconciler: Reconciler = new Reconciler({
    ...{ desired, targets: terminator === null ? [target] : [target, terminator], time, clock, log, settled },
    state: toldState(alarms, state),
    saved: state.intact,
    isClosed: () => restricted && live.loaded.config.stale.action === "close" && isStale(stalenessOf(live.loaded.config, feed)),
    onApplied: (applied) => {
      // Before it is acknowledged: the registry lets an old root go once every agent knows the next one.
      tolerateDisk(alarms, () => follower.look(desired, live.loaded));
      feed.applied(applied.tookMs);
      onApplied(applied);
    },
  });
  const onTampered = (what: string) => {
    tampered("structure_tampered", { what });
    reconciler.requestResync(what, [target]);
  };
  const comparing = new Comparing({
    ...{ desired, target, log, signal },
    config: () => live.loaded.config.compare,
    unsettled: () => reconciler.dirty || reconciler.closed,
    onForeign: (elements) => {
      tampered("elements_tampered", { elements });
      reconciler.requestResync("elements were changed by somebody else", [target]);
    },
  });
  // Before anything large is loaded: a watcher first reads the whole ruleset in.
  watching.monitor = stack.use(await startMonitor({ log, signal, onTampered, within }));
  const renewing: Renewing = new Renewing({
    identity: asking,
    service: () => serviceFiles(live.loaded.config),
    asks: !restricted,
    onRenewed: (notAfter, leaving) => {
      live.loaded = { ...live.loaded, notAfter };
      // The registry lets a CA be taken out once nobody shows a certificate of it.
      if (leaving) feed.reconnect();
    },
    onServiceRenewed: () => {
      const files = serviceFiles(live.loaded.config);
      live.loaded = { ...live.loaded, serviceLife: files === null ? null : shownLife(files) };
      if (terminator !== null) reconciler.requestResync("the service's certificate was renewed", [terminator]);
    },
    clock: { now: () => time.now(), monotonic: () => clock.monotonic() },
    log,
  });
  crew.run(renewing.run(signal));
  crew.run(reconciler.run(signal));
  crew.run(comparing.run());
  const seen: Seen = {
    ...{ version, desired, time, feed, reconciler, floor, alarms, comparing, crlAges: new CrlAges(), stopping: () => signal.aborted },
    get notAfter() {
      return live.loaded.notAfter;
    },
    get serviceLife() {
      return live.loaded.serviceLife;
    },
    get config() {
      return live.loaded.config;
    },
  };
  return {
    reconciler,
    feed: restricted ? feed : null,
    alarms,
    living: [reconciler, target, ...(floor === null ? [] : [floor])],
    state: () => stateName(seen),
    status: () => statusOf(seen),
    tick: (tick) => {
      if (tick % KEEP_TIME_TICKS === 0) {
        tolerateDisk(alarms, () => {
          state.saveTime(time.seenMs);
          desired.belief?.sweep();
        });
      }
      // Staleness may have begun or ended: the loop compares with what it last did.
      if (live.loaded.config.stale.afterSeconds > 0) reconciler.ring();
      lookForAlarms(seen);
      for (const [name, atMs] of tamperedAtMs) if (clock.monotonic() - atMs > TAMPERED_FOR_MS) alarms.set(name, null);
    },
    reload: (next, until) => reload(next, { live, within, desired, feed, floor, ground, target, terminator, reconciler, settled }, until),
  };
}

const rootsFile = ({ config }: Loaded): string => join(config.stateDir, PATH.agentRootsName);

function beliefOf(loaded: Loaded, now: () => number): Belief {
  const belief = new Belief(loaded.pinned, now);
  belief.followRoots(followedRoots(rootsFile(loaded), loaded.pinned));
  return belief;
}

/** Keeps the roots that are believed, whenever they are others than before. */
class RootFollower {
  #last = "";

  look(desired: DesiredState, loaded: Loaded): void {
    const { roots } = desired;
    const key = [loaded.pinned, ...roots].join();
    if (key === this.#last) return;
    desired.belief?.followRoots(followRoots(rootsFile(loaded), loaded.pinned, roots));
    this.#last = key;
  }
}

interface Reloadable {
  readonly live: { loaded: Loaded };
  readonly within: readonly string[];
  readonly desired: DesiredState;
  readonly feed: FeedClient;
  readonly floor: Floor | null;
  readonly ground: Ground;
  readonly target: NftTarget;
  readonly terminator: Terminator | null;
  readonly reconciler: Reconciler;
  readonly settled: Latch;
}

async function reload(next: Loaded, parts: Reloadable, signal: AbortSignal): Promise<void> {
  const { live, within, desired, feed, target, terminator, reconciler, settled } = parts;
  const plan = reloadPlan(live.loaded, next);
  if (plan.gate) {
    await checkGate(next.config, within, { timeoutMs: CHECK_TIMEOUT_MS, signal });
    // New ports are covered before the gate knows them, old ones until it has forgotten them.
    await cover(parts, (before) => together(before, next.config), signal);
  }
  if (plan.gate || plan.terminator) {
    // What a source may hold open hangs on both.
    target.configure(next.config);
    terminator?.configure(next.config);
  }
  live.loaded = next;
  if (plan.limits) {
    while (settled.closed) await settled.passed();
    const belief = desired.belief?.under(next.pinned) ?? null;
    belief?.followRoots(followedRoots(rootsFile(next), next.pinned));
    reconciler.replaced(desired.adopt(desired.under(next.config.ceiling, belief)));
  }
  if (plan.feed) feed.reconnect();
  if (!plan.gate && !plan.terminator) return reconciler.ring();
  await reconciler.resync("the configuration changed", signal);
  await cover(parts, () => [next.config.gate], signal);
}

/** Nothing in the open zone, which has no floor. */
async function cover({ floor, ground }: Reloadable, gates: (before: Floor["gates"]) => Floor["gates"], signal: AbortSignal): Promise<void> {
  if (floor === null) return;
  await floor.cover(gates(floor.gates));
  await ground.cover(floor.gates, signal);
}

/** Null where something else ends TLS. @param identity where large CRLs are asked for, and by whom, at that moment */
async function startTerminator(
  options: Omit<NginxOptions, "fetchCrl">,
  identity: () => ReturnType<typeof identityOf>,
  stack: AsyncDisposableStack,
): Promise<Terminator | null> {
  const { config } = options;
  const { kind } = config.terminator;
  if (config.zone === "open" || kind === "none") return null;
  const all: NginxOptions = { ...options, fetchCrl: (id, sha256, signal) => fetchCrl(identity(), id, sha256, signal) };
  return stack.use(kind === "haproxy" ? new HaproxyTarget(all) : await NginxTarget.start(all));
}

function together(gates: Floor["gates"], { gate }: AgentConfig): Floor["gates"] {
  return gates.some((known) => isDeepStrictEqual(known, gate)) ? gates : [...gates, gate];
}
