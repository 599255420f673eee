import { readFileSync } from "node:fs";
import { writeFileAtomic } from "../../lib/file.ts";
import { checkConfiguration } from "./check.ts";
import { goneEntry, mapText } from "./entries.ts";
import { appendMap, currentGeneration, sweepGenerations, useGeneration, writeMap } from "./generation.ts";
import type { Layout } from "./layout.ts";
import type { Whole } from "./live.ts";

/** What the maps of a generation are to say. */
type Maps = Pick<Whole, "certificates" | "bindings">;

/**
 * What was taken from HAProxy's workers goes into the files too, so that one that starts by itself while the next generation is refused
 * lets nobody in by it. A disk that takes nothing is no failure here: there is one already, and the workers know.
 * @param gone keys of certificates: a line for each has room on a disk that has none for a whole map
 */
export function keepTakenBack(stateDir: string, gone: ReadonlySet<string>, maps: Maps): void {
  const current = currentGeneration(stateDir, "haproxy");
  if (current === null) return;
  try {
    const known = new Set(readFileSync(current.gone, "utf8").split("\n"));
    const entries = [...gone].map(goneEntry).filter((entry) => !known.has(mapText(entry)));
    using _durable = appendMap(current.gone, entries);
    writeMaps(current, maps);
  } catch {
    // As said.
  }
}

/**
 * HAProxy starts with an earlier generation again, which is made to say first what counts by now. Where it cannot be written, one that
 * starts finds what the last one did not take, and lets nobody in.
 */
export function goBack(stateDir: string, good: Layout, maps: Maps): void {
  try {
    writeMaps(good, maps);
    useGeneration(stateDir, good);
  } catch {
    // As said.
  }
}

function writeMaps(layout: Layout, { certificates, bindings }: Maps): void {
  writeMap(layout.certificates, certificates());
  writeMap(layout.bindings, bindings());
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

/** Puts other CRLs into a generation. @throws TerminatorRefusedError when HAProxy refuses them: those from before stay where it reads them */
export async function exchangeCrls(layout: Layout, text: string, signal: AbortSignal): Promise<void> {
  const before = readFileSync(layout.revocations, "utf8");
  writeFileAtomic(layout.revocations, text);
  try {
    await checkConfiguration("haproxy", layout, signal);
  } catch (error) {
    writeFileAtomic(layout.revocations, before);
    throw error;
  }
}
