import { type Metrics, SECONDS } from "../lib/metrics.ts";
import type { Applied } from "./reconciler.ts";
import type { AgentStatus } from "./status.ts";

/** What the agent tells Prometheus. Gauges are read from the status at each scrape, so that both say the same. */
export class AgentMetrics {
  readonly #applies;
  readonly #changes;
  readonly #metrics: Metrics;

  constructor(metrics: Metrics, status: () => AgentStatus | null) {
    this.#metrics = metrics;
    this.#applies = metrics.histogram("entityos_agent_apply_seconds", "From a change at hand to kernel and disk.", SECONDS);
    this.#changes = metrics.counter("entityos_agent_changes_total", "Rules and trust entries brought into force.");
    const gauge = (name: string, help: string, value: (status: AgentStatus) => number) => {
      const made = metrics.gauge(`entityos_agent_${name}`, help);
      return (status: AgentStatus) => made.set(value(status));
    };
    const states = metrics.gauges("entityos_agent_state", "1 for the state that the agent is in.", "state");
    const alarms = metrics.gauges("entityos_agent_alarms", "1 for each alarm that is on.", "alarm");
    const gauges = [
      gauge("revision", "Revision in kernel and on disk.", ({ revision }) => revision),
      gauge("rules", "Rules that the kernel holds.", ({ rules }) => rules),
      gauge("rules_held_back", "Rules over this host's ceiling.", ({ refused }) => refused),
      gauge("trust", "Trust entries that the registry names.", ({ trust }) => trust),
      gauge("trust_held_back", "Trust entries that this host does not believe.", ({ trustRefused }) => trustRefused),
      gauge("pending", "Differences not yet in force.", ({ pending }) => pending),
      gauge("floor_held", "1 while the floor stands.", ({ floor }) => Number(floor)),
      gauge("feed_connected", "1 while the feed is open.", ({ feed }) => Number(feed.connected)),
      gauge("feed_silent_seconds", "Since the registry was last heard.", ({ feed }) => feed.silentMs / 1_000),
      gauge("clock_skew_seconds", "Registry time minus this host's clock.", ({ time }) => time.skewMs / 1_000),
      gauge(
        "certificate_not_after_seconds",
        "End of the agent's own certificate, seconds since 1970.",
        ({ certificate }) => certificate.notAfter / 1_000,
      ),
      gauge(
        "service_certificate_not_after_seconds",
        "End of the certificate that the service shows, seconds since 1970; no number where the agent ends no TLS.",
        ({ serviceCertificate }) => (serviceCertificate === null ? Number.NaN : serviceCertificate.notAfter / 1_000),
      ),
    ];
    metrics.beforeText(() => {
      const now = status();
      if (now === null) return;
      for (const set of gauges) set(now);
      states.replace({ [now.state]: 1 });
      alarms.replace(Object.fromEntries(now.alarms.map(({ name }) => [name, 1])));
    });
  }

  applied({ tookMs, changes }: Applied): void {
    this.#applies.observe(tookMs / 1_000);
    this.#changes.add(changes);
  }

  text(): Promise<string> {
    return this.#metrics.text();
  }
}
