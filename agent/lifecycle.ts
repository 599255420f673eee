/**
 *               gate in kernel            first revision held          feed lost
 *   starting ───────────────────▶ closed ───────────────────▶ enforcing ◀────────▶ detached ──▶ stale
 *                                   ▲                              │  ▲   feed back             (or closed, by config)
 *                                   └── stale, action close        ▼  │ apply succeeded
 *                                                               repairing
 * From each of them to stopping. In every state but starting the gate stands; closed admits nobody, which is said once it is so: until
 * then the host is stale, and repairing while kernel and terminator are told.
 */
export type AgentStateName = "starting" | "closed" | "enforcing" | "detached" | "stale" | "repairing" | "stopping";

export interface Facts {
  /** The gate's structure and the desired rules were acknowledged by the kernel at least once. */
  readonly gateStands: boolean;
  /** The last apply or resync failed, or someone changed our table. */
  readonly dirty: boolean;
  /** An epoch and revision are held. */
  readonly holdsState: boolean;
  readonly feedConnected: boolean;
  /** Milliseconds since the feed was last heard; 0 while connected. */
  readonly silentMs: number;
  readonly staleAfterMs: number;
  /** Kernel and terminator acknowledged that nobody is to be let in: the host is stale and configured to close. */
  readonly closed: boolean;
  readonly stopping: boolean;
}

/** Facts in, state out. */
export function stateOf(facts: Facts): AgentStateName {
  if (facts.stopping) return "stopping";
  if (!facts.gateStands) return "starting";
  if (facts.closed) return "closed";
  if (facts.dirty) return "repairing";
  if (!facts.holdsState) return "closed";
  if (facts.feedConnected) return "enforcing";
  return isStale(facts) ? "stale" : "detached";
}

export function isStale(facts: Pick<Facts, "feedConnected" | "silentMs" | "staleAfterMs">): boolean {
  return !facts.feedConnected && facts.staleAfterMs > 0 && facts.silentMs >= facts.staleAfterMs;
}

/**
 * Whether the host admits whom it should, as far as it was told: a load balancer sends it nothing otherwise. A lost registry alone is no
 * reason: it would take every host away at once.
 */
export function isHealthy(state: AgentStateName): boolean {
  switch (state) {
    case "enforcing":
    case "detached":
    case "stale":
      return true;
    case "starting":
    case "closed":
    case "repairing":
    case "stopping":
      return false;
    default:
      return state satisfies never;
  }
}
