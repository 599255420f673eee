import { type CertificateLife, endsSoon } from "../lib/certificate-life.ts";
import type { Alarms } from "./alarms.ts";
import type { Comparing } from "./compare.ts";
import type { AgentConfig } from "./config.ts";
import type { CrlAges } from "./crl-ages.ts";
import type { DesiredState } from "./desired.ts";
import type { FeedClient } from "./feed/client.ts";
import { type AgentStateName, type Facts, isStale, stateOf } from "./lifecycle.ts";
import type { Floor } from "./nft/floor.ts";
import type { Reconciler } from "./reconciler.ts";
import type { AgentStatus } from "./status.ts";
import type { RegistryTime } from "./time.ts";

const MAX_DOUBTS = 5;
/** A change takes a few milliseconds. */
const SLOW_APPLY_MS = 1_000;
const DAY_MS = 86_400_000;

/** The running parts that facts are read from. */
export interface Seen {
  readonly config: AgentConfig;
  readonly version: string;
  readonly desired: DesiredState;
  readonly time: RegistryTime;
  readonly feed: FeedClient;
  readonly reconciler: Reconciler;
  /** Null in the open zone, which has none. */
  readonly floor: Floor | null;
  readonly alarms: Alarms;
  readonly comparing: Comparing;
  readonly crlAges: CrlAges;
  /** End of the agent's own certificate, integer ms. */
  readonly notAfter: number;
  /** Of the service's certificate that clients are shown; null where nothing of ours shows one. */
  readonly serviceLife: CertificateLife | null;
  readonly stopping: () => boolean;
}

/** The open zone's agent has no feed and is never stale. */
export function stalenessOf(config: AgentConfig, feed: FeedClient): Pick<Facts, "feedConnected" | "silentMs" | "staleAfterMs"> {
  return {
    feedConnected: config.zone === "open" || feed.following,
    silentMs: feed.silentMs,
    staleAfterMs: config.stale.afterSeconds * 1_000,
  };
}

export function stateName({ config, desired, feed, floor, reconciler, stopping }: Seen): AgentStateName {
  return stateOf({
    ...stalenessOf(config, feed),
    gateStands: reconciler.gateStands,
    dirty: reconciler.dirty || (floor !== null && !floor.held),
    holdsState: config.zone === "open" || desired.epoch !== null,
    closed: reconciler.closed,
    stopping: stopping(),
  });
}

/** The first few entries that are not believed, for the log. */
function someDoubts(desired: DesiredState): string[] {
  const some: string[] = [];
  for (const entry of desired.heldTrust()) {
    if (some.length === MAX_DOUBTS) break;
    some.push(`${entry.target} ${entry.id}: ${desired.belief?.doubt(entry, false) ?? "does not chain to the pinned root"}`);
  }
  return some;
}

/** Raises and ends the alarms that facts are the reason of. */
export function lookForAlarms(seen: Seen): void {
  const { alarms, config, crlAges, desired, feed, floor, reconciler, time } = seen;
  alarms.set("feed_stale", isStale(stalenessOf(config, feed)) ? { silentMs: feed.silentMs } : null);
  const { applyMs } = reconciler;
  alarms.set("apply_slow", applyMs > SLOW_APPLY_MS ? { applyMs: Math.round(applyMs) } : null);
  lookForEnds(seen, time.now());
  alarms.set("clock_skew", time.skewed ? { skewMs: time.skewMs } : null);
  alarms.set("registry_behind", time.registryBehind ? { behindMs: time.behindMs } : null);
  // Where nothing of ours ends TLS nobody looks at lists.
  const { old, expired } = config.terminator.kind === "none" ? { old: [], expired: [] } : crlAges.look(desired, time.now());
  alarms.set("crl_old", old.length > 0 ? { of: old } : null);
  alarms.set("crl_expired", expired.length > 0 ? { of: expired } : null);
  alarms.set("rules_held_back", desired.refused > 0 ? { heldBack: desired.refused, tooMany: desired.tooMany } : null);
  alarms.set("trust_held_back", desired.trustRefused > 0 ? { heldBack: desired.trustRefused, some: someDoubts(desired) } : null);
  if (floor?.held) alarms.set("floor_lost", null);
}

/** What runs out because whoever is to renew it does not. */
export function lookForEnds(
  { alarms, config, notAfter, serviceLife }: Pick<Seen, "alarms" | "config" | "notAfter" | "serviceLife">,
  now: number,
): void {
  const leftMs = notAfter - now;
  alarms.set("certificate_expiring", config.zone === "restricted" && leftMs < DAY_MS ? { leftMs } : null);
  const service = serviceLife !== null && endsSoon(serviceLife, now) ? { leftMs: serviceLife.notAfter - now } : null;
  alarms.set("service_certificate_expiring", service);
}

export function statusOf(seen: Seen): AgentStatus {
  const { alarms, config, version, desired, feed, floor, reconciler, time } = seen;
  const { applied } = reconciler;
  return {
    name: config.name,
    zone: config.zone,
    version,
    pid: process.pid,
    state: stateName(seen),
    epoch: applied?.epoch ?? null,
    revision: applied?.revision ?? 0,
    digest: applied?.digest ?? null,
    rules: desired.size,
    refused: desired.refused,
    trust: desired.trustSize,
    trustRefused: desired.trustRefused,
    pending: desired.pendingSize,
    alarms: alarms.raised,
    lanes: config.gate.lanes,
    floor: floor?.held ?? false,
    feed: {
      connected: feed.address !== null,
      address: feed.address,
      silentMs: feed.silentMs,
      ahead: feed.ahead,
      unknownMessages: feed.unknownMessages,
    },
    lastApply: applied === null ? null : { atMs: applied.atMs, tookMs: applied.tookMs, changes: applied.changes },
    certificate: { notAfter: seen.notAfter },
    serviceCertificate: seen.serviceLife === null ? null : { notAfter: seen.serviceLife.notAfter },
    notCompared: seen.comparing.skipped,
    time: { registryMs: time.now(), skewMs: time.skewMs },
  };
}

/** What `systemctl status` shows. */
export const statusLine = ({ state, revision, rules, alarms }: AgentStatus): string =>
  `${state}, revision ${revision}, ${rules} rules${alarms.length === 0 ? "" : `, alarms: ${alarms.map(({ name }) => name).join(" ")}`}`;
