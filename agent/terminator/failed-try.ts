import { readFileSync } from "node:fs";
import { type MapEntry, mapText } from "./entries.ts";
import { appendMap, currentGeneration, sweepGenerations, writeMap } from "./generation.ts";
import type { Layout } from "./layout.ts";

/**
 * What was taken from HAProxy's workers goes into the files too, so that one that starts by itself while the next generation is refused
 * lets nobody in by it. A disk that takes nothing is no failure here: there is one already, and the workers know.
 * @param gone keys of certificates
 */
export function keepTakenBack(stateDir: string, gone: ReadonlySet<string>, bindings: Iterable<MapEntry>): void {
  const current = currentGeneration(stateDir, "haproxy");
  if (current === null) return;
  try {
    const known = new Set(readFileSync(current.gone, "utf8").split("\n"));
    const entries = [...gone].map((key) => ({ key, value: "1" })).filter((entry) => !known.has(mapText(entry)));
    using _durable = appendMap(current.gone, entries);
    writeMap(current.bindings, bindings);
  } catch {
    // As said.
  }
}

/**
 * What a failed try has written goes, however often it is tried: neither what the link names nor what is in force. What cannot be taken
 * away now goes with the next generation.
 * @param good what HAProxy has taken last; null when there is none
 */
export function sweepFailed(stateDir: string, good: Layout | null): void {
  try {
    sweepGenerations(stateDir, [currentGeneration(stateDir, "haproxy"), good]);
  } catch {
    // As said.
  }
}
