import { type Histogram, type Metrics, SECONDS } from "../../lib/metrics.ts";
import type { AgentFact } from "./peer.ts";

/** What the feed tells Prometheus. */
export interface FeedMetrics {
  readonly spread: Pick<Histogram, "observe">;
  readonly apply: Pick<Histogram, "observe">;
}

const NOWHERE = { observe(): void {} };
export const NO_FEED_METRICS: FeedMetrics = { spread: NOWHERE, apply: NOWHERE };

/** @param agents those with a live feed, asked at each scrape */
export function feedMetrics(metrics: Metrics, agents: () => Iterable<AgentFact>): FeedMetrics {
  const phases = metrics.gauges("entityos_feed_agents", "Agents with a live feed, by how it goes.", "phase");
  metrics.beforeText(() => {
    const counts: Record<AgentFact["phase"], number> = { greeting: 0, snapshot: 0, behind: 0, live: 0, ahead: 0 };
    for (const { phase } of agents()) counts[phase]++;
    phases.replace(counts);
  });
  return {
    spread: metrics.histogram("entityos_feed_spread_seconds", "From a revision's commit until every connected agent has it.", SECONDS),
    apply: metrics.histogram("entityos_feed_apply_seconds", "What agents say that an apply took them.", SECONDS),
  };
}
