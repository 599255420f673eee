import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { HostError } from "./errors.ts";
import type { Remote } from "./ssh.ts";

const WAIT_MS = 120_000;
const EVERY_MS = 500;

/** What is read of `entityos-agent status --json`. */
const statusSchema = z.object({
  pid: z.int(),
  zone: z.string(),
  state: z.string(),
  revision: z.int(),
  alarms: z.array(z.object({ name: z.string() }).loose()),
  feed: z.object({ connected: z.boolean() }),
});
export type AgentHealth = z.output<typeof statusSchema>;

/** What a host's own status says; null while none answers. */
export async function agentHealth(remote: Remote): Promise<AgentHealth | null> {
  const said = await remote.sh("health", "entityos-agent status --json 2>/dev/null || true");
  try {
    return statusSchema.parse(JSON.parse(said));
  } catch {
    return null;
  }
}

/**
 * Resolves when the agent enforces what the registry says, over a living feed.
 * @param before process that is not meant, because it runs what was there before; null when any is
 * @throws HostError not_healthy with what the host says instead
 */
export async function agentHealthy(host: string, remote: Remote, before: number | null): Promise<AgentHealth> {
  let said = "no status";
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await delay(EVERY_MS)) {
    const health = await agentHealth(remote);
    if (health === null) continue;
    if (health.state === "enforcing" && health.feed.connected && health.pid !== before) return health;
    const alarms = health.alarms.map(({ name }) => name).join(", ");
    said = `${health.state}, feed ${health.feed.connected ? "connected" : "down"}, alarms: ${alarms || "none"}`;
  }
  throw new HostError(host, "health", "not_healthy", `after ${WAIT_MS / 1_000} s: ${said}`);
}

/** Resolves when control answers on the registry's host. @throws HostError not_healthy */
export async function registryHealthy(host: string, remote: Remote): Promise<void> {
  let said = "";
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await delay(EVERY_MS)) {
    said = await remote.sh("health", 'if said=$(entityos status --json 2>&1); then echo well; else printf "%s" "$said"; fi');
    if (said.trim() === "well") return;
  }
  throw new HostError(host, "health", "not_healthy", `after ${WAIT_MS / 1_000} s: ${said.slice(0, 500)}`);
}
