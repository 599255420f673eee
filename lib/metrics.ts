import { collectDefaultMetrics, Counter as PromCounter, Gauge as PromGauge, Histogram as PromHistogram, Registry } from "prom-client";

export interface Counter {
  add(amount?: number): void;
}
export interface Gauge {
  set(value: number): void;
}
export interface Histogram {
  /** In the unit that the name ends in. */
  observe(value: number): void;
}
/** One metric with one label, whose values come from the program: codes, states, lanes. */
export interface Family<M> {
  of(value: string): M;
}
export interface Gauges {
  /** Sets what is named and forgets every other value. */
  replace(values: Readonly<Record<string, number>>): void;
}

/**
 * What a program tells Prometheus (text format 0.0.4). Names begin with `entityos_` and end in their unit, counters in `_total`.
 * A label's value is a short lower-case word, and a label has at most {@link MAX_LABEL_VALUES} of them; all else is counted as
 * "other". So no address, selector, identifier or name of a device can become one, whoever sends it.
 */
export interface Metrics {
  counter(name: string, help: string): Counter;
  counters(name: string, help: string, label: string): Family<Counter>;
  gauge(name: string, help: string): Gauge;
  gauges(name: string, help: string, label: string): Gauges;
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  histograms(name: string, help: string, label: string, buckets: readonly number[]): Family<Histogram>;
  /** Calls `collect` at each scrape, before anything is told: for gauges that cost a question. */
  beforeText(collect: () => Promise<void> | void): void;
  /** What a scrape gets; scrapes at the same time share one. @throws what a `collect` throws */
  text(): Promise<string>;
}

/** Content-Type of {@link Metrics.text}. */
export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;
export const MAX_LABEL_VALUES = 64;
const LABEL_VALUE = /^[a-z][a-z0-9_]{0,39}$/;
const OTHER = "other";
const NAME = /^entityos_[a-z0-9_]{1,80}$/;

/** Upper bounds in seconds for what takes from a millisecond to a minute. */
export const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

/** @param options.process tells of the process too: memory, event loop, garbage, files. Once in a process */
export function createMetrics(options: { readonly process: boolean }): Metrics {
  const registry = new Registry();
  if (options.process) collectDefaultMetrics({ register: registry, prefix: "entityos_" });
  const collects: (() => Promise<void> | void)[] = [];
  let running: Promise<string> | null = null;
  const base = (name: string, help: string, labelNames: string[]) => {
    if (!NAME.test(name)) throw new Error(`A metric is named entityos_…, in lower case: '${name}' is not.`);
    return { name, help, labelNames, registers: [registry] };
  };
  return {
    counter(name, help) {
      const counter = new PromCounter(base(name, help, []));
      return { add: (amount = 1) => counter.inc(amount) };
    },
    counters(name, help, label) {
      const counter = new PromCounter(base(name, help, [label]));
      return family((value) => ({ add: (amount = 1) => counter.inc({ [label]: value }, amount) }));
    },
    gauge(name, help) {
      return new PromGauge(base(name, help, []));
    },
    gauges(name, help, label) {
      return gauges(new PromGauge(base(name, help, [label])), label);
    },
    histogram(name, help, buckets) {
      return new PromHistogram({ ...base(name, help, []), buckets: [...buckets] });
    },
    histograms(name, help, label, buckets) {
      const histogram = new PromHistogram({ ...base(name, help, [label]), buckets: [...buckets] });
      return family((value) => ({ observe: (seconds) => histogram.observe({ [label]: value }, seconds) }));
    },
    beforeText: (collect) => void collects.push(collect),
    text() {
      running ??= (async () => {
        await Promise.all(collects.map(async (collect) => await collect()));
        return await registry.metrics();
      })().finally(() => {
        running = null;
      });
      return running;
    },
  };
}

function family<M>(make: (value: string) => M): Family<M> {
  const members = new Map<string, M>();
  return {
    of(value) {
      const known = members.get(value);
      if (known !== undefined) return known;
      const kept = LABEL_VALUE.test(value) && members.size < MAX_LABEL_VALUES - 1 ? value : OTHER;
      const member = members.get(kept) ?? make(kept);
      members.set(kept, member);
      return member;
    },
  };
}

function gauges(gauge: PromGauge, label: string): Gauges {
  return {
    replace(values) {
      const told = new Map<string, number>();
      for (const [value, amount] of Object.entries(values)) {
        const kept = LABEL_VALUE.test(value) && told.size < MAX_LABEL_VALUES - 1 ? value : OTHER;
        told.set(kept, (told.get(kept) ?? 0) + amount);
      }
      gauge.reset();
      for (const [value, amount] of told) gauge.set({ [label]: value }, amount);
    },
  };
}
