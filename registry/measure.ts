import type { Clock } from "../lib/clock.ts";
import { type Metrics, SECONDS } from "../lib/metrics.ts";
import type { Store } from "./store/store.ts";

/** Storage as it is, with the time that each durable write took: its wait for the group commit and the commit itself. */
export function measuredStore(store: Store, metrics: Metrics, clock: Clock): Store {
  const seconds = metrics.histogram("entityos_storage_commit_seconds", "From a write being asked for to its being durable.", SECONDS);
  const failures = metrics.counter("entityos_storage_failures_total", "Writes that did not become durable, refusals included.");
  const measured = async <T>(write: Promise<T>): Promise<T> => {
    const began = clock.monotonic();
    try {
      return await write;
    } catch (error) {
      failures.add();
      throw error;
    } finally {
      seconds.observe((clock.monotonic() - began) / 1_000);
    }
  };
  return {
    write: (command, wakes) => measured(store.write(command, wakes)),
    writeTogether: (command, input, wakes) => measured(store.writeTogether(command, input, wakes)),
    read: (command) => store.read(command),
    watch: (topic, listener) => store.watch(topic, listener),
    ride: (topic, rider) => store.ride(topic, rider),
    snapshot: () => store.snapshot(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

/** Counts what Process makes of submissions, by outcome. */
export function countConclusions(metrics: Metrics): (outcome: string, waitedMs: number) => void {
  const outcomes = metrics.counters("entityos_submissions_total", "Submissions that Process concluded, by outcome.", "outcome");
  const waited = metrics.histogram("entityos_process_seconds", "From a submission being stored to its being concluded.", SECONDS);
  return (outcome, waitedMs) => {
    outcomes.of(outcome).add();
    waited.observe(Math.max(0, waitedMs) / 1_000);
  };
}

/** Counts what register refuses before anything is stored, by code. */
export function countRefusals(metrics: Metrics): (code: string) => void {
  const refusals = metrics.counters("entityos_register_refusals_total", "Requests that register refused, by code.", "code");
  return (code) => refusals.of(code).add();
}
