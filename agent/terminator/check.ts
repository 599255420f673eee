import { execute } from "../../lib/exec.ts";
import type { TerminatorKind } from "../config.ts";
import type { Layout } from "./layout.ts";

const TIMEOUT_MS = 30_000;

/** The terminator does not take the configuration: its words are the message. */
export class TerminatorRefusedError extends Error {}

const PROGRAM: Readonly<Record<TerminatorKind, { readonly name: string; readonly words: readonly string[]; readonly fault: RegExp }>> = {
  haproxy: { name: "HAProxy", words: ["-c", "-f"], fault: /\[ALERT\]/ },
  nginx: { name: "nginx", words: ["-t", "-q", "-e", "stderr", "-c"], fault: /\[(emerg|alert|crit)\]/ },
};

/** Has the terminator read a generation without using it. @throws TerminatorRefusedError, or that there is no such program */
export async function checkConfiguration(kind: TerminatorKind, layout: Layout, signal: AbortSignal): Promise<void> {
  const { name, words, fault } = PROGRAM[kind];
  const { code, output } = await execute(kind, [...words, layout.config], { timeoutMs: TIMEOUT_MS, signal });
  if (code === 0) return;
  const faults = output.split("\n").filter((line) => fault.test(line));
  throw new TerminatorRefusedError(`${name} refuses its configuration: ${(faults.join(" ") || output).slice(0, 1_000)}`);
}
