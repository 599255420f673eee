import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { HostError } from "./errors.ts";
import type { Remote } from "./ssh.ts";

/** How long a host has to get well, and how often it is asked meanwhile. */
const PATIENCE = { waitMs: 120_000, everyMs: 500 } as const;
export type Patience = { readonly [key in keyof typeof PATIENCE]: number };
/** One question; the bound of all of them is the patience. */
const ASK_MS = 20_000;

/** A host may be broken into: its words are printed. */
const WORD = /^[a-z0-9_]{1,64}$/;

/** What is read of `entityos-agent status --json`. */
const statusSchema = z.object({
  pid: z.int(),
  zone: z.string(),
  state: z.string().regex(WORD),
  revision: z.int(),
  alarms: z.array(z.object({ name: z.string().regex(WORD) }).loose()),
  feed: z.object({ connected: z.boolean() }),
});
export type AgentHealth = z.output<typeof statusSchema>;

/** What a host's own status says; null while none answers. */
export async function agentHealth(remote: Remote): Promise<AgentHealth | null> {
  const said = await remote.sh("health", "entityos-agent status --json 2>/dev/null || true", { timeoutMs: ASK_MS });
  return healthOf(said);
}

/** What `entityos-agent status --json` said; null when it is none. */
export function healthOf(said: string): AgentHealth | null {
  try {
    return statusSchema.parse(JSON.parse(said));
  } catch {
    return null;
  }
}

/**
 * Resolves when the agent enforces what the registry says, over a living feed. A connection that is lost is made anew.
 * @param before process that is not meant, because it runs what was there before; null when any is
 * @throws HostError not_healthy with what the host says instead
 */
export function agentHealthy(host: string, remote: Remote, before: number | null, patience: Patience = PATIENCE): Promise<void> {
  return untilWell(host, patience, async () => {
    const health = await agentHealth(remote);
    if (health === null) return "no status";
    if (health.state === "enforcing" && health.feed.connected && health.pid !== before) return null;
    const alarms = health.alarms.map(({ name }) => name).join(", ");
    return `${health.state}, feed ${health.feed.connected ? "connected" : "down"}, alarms: ${alarms || "none"}`;
  });
}

/** Resolves when control answers on the registry's host. @throws HostError not_healthy */
export function registryHealthy(host: string, remote: Remote, patience: Patience = PATIENCE): Promise<void> {
  const script = 'if said=$(entityos status --json 2>&1); then echo well; else printf "%s" "$said"; fi';
  return untilWell(host, patience, async () => {
    const said = await remote.sh("health", script, { timeoutMs: ASK_MS });
    return said.trim() === "well" ? null : said.slice(0, 500);
  });
}

/** @param ask what is not well, or null */
async function untilWell(host: string, { waitMs, everyMs }: Patience, ask: () => Promise<string | null>): Promise<void> {
  let said: string | null = "not asked";
  for (const end = Date.now() + waitMs; Date.now() < end; await delay(everyMs)) {
    said = await ask().catch((error: unknown) => {
      if (error instanceof HostError && error.shouldRetry()) return error.message;
      throw error;
    });
    if (said === null) return;
  }
  throw new HostError(host, "health", "not_healthy", `after ${waitMs / 1_000} s: ${said}`);
}
