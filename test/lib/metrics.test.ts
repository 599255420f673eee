import { expect } from "chai";
import { createMetrics, MAX_LABEL_VALUES, type Metrics } from "../../lib/metrics.ts";

describe("metrics", () => {
  let metrics: Metrics;
  beforeEach(() => {
    metrics = createMetrics({ process: false });
  });
  const lines = async (): Promise<string[]> => (await metrics.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

  it("are told in Prometheus' text format", async () => {
    metrics.counter("entityos_knocks_total", "Knocks.").add();
    metrics.gauge("entityos_rules", "Rules.").set(7);
    const histogram = metrics.histogram("entityos_apply_seconds", "Applies.", [0.1, 1]);
    for (const seconds of [0.05, 0.5, 5]) histogram.observe(seconds);
    expect((await metrics.text()).trim()).to.equal(
      [
        "# HELP entityos_knocks_total Knocks.",
        "# TYPE entityos_knocks_total counter",
        "entityos_knocks_total 1",
        "",
        "# HELP entityos_rules Rules.",
        "# TYPE entityos_rules gauge",
        "entityos_rules 7",
        "",
        "# HELP entityos_apply_seconds Applies.",
        "# TYPE entityos_apply_seconds histogram",
        'entityos_apply_seconds_bucket{le="0.1"} 1',
        'entityos_apply_seconds_bucket{le="1"} 2',
        'entityos_apply_seconds_bucket{le="+Inf"} 3',
        "entityos_apply_seconds_sum 5.55",
        "entityos_apply_seconds_count 3",
      ].join("\n"),
    );
  });

  it("keep a family's members apart", async () => {
    const outcomes = metrics.counters("entityos_outcomes_total", "Outcomes.", "outcome");
    outcomes.of("registered").add();
    outcomes.of("registered").add(2);
    outcomes.of("code_spent").add();
    const stages = metrics.histograms("entityos_stage_seconds", "Stages.", "stage", [1]);
    stages.of("applied").observe(2);
    expect(await lines()).to.deep.equal([
      'entityos_outcomes_total{outcome="registered"} 3',
      'entityos_outcomes_total{outcome="code_spent"} 1',
      'entityos_stage_seconds_bucket{le="1",stage="applied"} 0',
      'entityos_stage_seconds_bucket{le="+Inf",stage="applied"} 1',
      'entityos_stage_seconds_sum{stage="applied"} 2',
      'entityos_stage_seconds_count{stage="applied"} 1',
    ]);
  });

  for (const value of ["8.8.4.4", "2001:db8::1", "ABCDEFGH", "0b5e7f0e-0000-7000-8000-000000000000", "", 'a"} 1\nevil', "a".repeat(41)]) {
    it(`take no label value that could name somebody: ${JSON.stringify(value).slice(0, 30)}`, async () => {
      metrics.counters("entityos_a_total", "A.", "a").of(value).add();
      metrics.gauges("entityos_b", "B.", "b").replace({ [value]: 1 });
      expect(await lines()).to.deep.equal(['entityos_a_total{a="other"} 1', 'entityos_b{b="other"} 1']);
    });
  }

  it("have a bound on the values of a label", async () => {
    const family = metrics.counters("entityos_a_total", "A.", "a");
    const gauges = metrics.gauges("entityos_b", "B.", "b");
    const words = Array.from({ length: 3 * MAX_LABEL_VALUES }, (_, index) => `word${index}`);
    for (const word of words) family.of(word).add();
    gauges.replace(Object.fromEntries(words.map((word) => [word, 1])));
    const told = await lines();
    expect(told).to.have.length(2 * MAX_LABEL_VALUES);
    expect(told).to.include('entityos_a_total{a="word62"} 1');
    expect(told).to.include('entityos_a_total{a="other"} 129');
    expect(told).to.include('entityos_b{b="other"} 129');
  });

  it("forget gauges that are not set again", async () => {
    const states = metrics.gauges("entityos_agents", "Agents.", "state");
    states.replace({ enforcing: 3, closed: 1 });
    states.replace({ enforcing: 4 });
    expect(await lines()).to.deep.equal(['entityos_agents{state="enforcing"} 4']);
  });

  it("ask what costs a question at each scrape, and once for scrapes at the same time", async () => {
    let asked = 0;
    const gauge = metrics.gauge("entityos_a", "A.");
    metrics.beforeText(async () => {
      await Promise.resolve();
      gauge.set(++asked);
    });
    expect(await Promise.all([lines(), lines()])).to.deep.equal([["entityos_a 1"], ["entityos_a 1"]]);
    expect(await lines()).to.deep.equal(["entityos_a 2"]);
  });

  it("fail a scrape when a question fails, and not the next one", async () => {
    let broken = true;
    metrics.beforeText(() => {
      if (broken) throw new Error("no answer");
    });
    const failure = await metrics.text().catch((error: unknown) => String(error));
    broken = false;
    expect([failure, await metrics.text()]).to.deep.equal(["Error: no answer", "\n"]);
  });

  it("refuse a name that is not ours, or taken", () => {
    expect(() => metrics.gauge("nodejs_rules", "Rules.")).to.throw("A metric is named entityos_…");
    metrics.gauge("entityos_rules", "Rules.");
    expect(() => metrics.gauge("entityos_rules", "Rules.")).to.throw("already been registered");
  });

  it("tell of the process too where that is asked for, under our prefix", async () => {
    metrics = createMetrics({ process: true });
    const told = await lines();
    expect(told.some((line) => line.startsWith("entityos_process_resident_memory_bytes "))).to.equal(true);
    expect(told.filter((line) => !line.startsWith("entityos_"))).to.deep.equal([]);
  });
});
