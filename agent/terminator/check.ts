import { execute } from "../../lib/exec.ts";
import type { Layout } from "./layout.ts";

const TIMEOUT_MS = 30_000;

/** HAProxy does not take the configuration: its words are the message. */
export class TerminatorRefusedError extends Error {}

/** Has HAProxy read a generation without using it. @throws TerminatorRefusedError, or that there is no HAProxy */
export async function checkConfiguration(layout: Layout, signal: AbortSignal): Promise<void> {
  const { code, output } = await execute("haproxy", ["-c", "-q", "-f", layout.config], { timeoutMs: TIMEOUT_MS, signal });
  if (code === 0) return;
  const alerts = output.split("\n").filter((line) => line.includes("[ALERT]"));
  throw new TerminatorRefusedError(`HAProxy refuses its configuration: ${(alerts.join(" ") || output).slice(0, 1_000)}`);
}
