import type { ClientMessage } from "../../lib/feed/messages.ts";
import type { Head } from "../store/queries.ts";

/** The change log is only worth replaying up to this far back; beyond it a snapshot is shorter. */
export const MAX_REPLAY = 50_000;

type Held = Pick<Extract<ClientMessage, { type: "hello" }>, "epoch" | "revision" | "digest">;

/**
 * What an agent needs that holds `held`: what came after it, everything, or nothing.
 *
 * "ahead": it holds what this registry's history does not have. Storage was put back from an older copy, for the head is durable before
 * an agent hears of it. Such an agent keeps what stands, whatever is written here later, until an operator begins a new epoch.
 * @param digestThere digest of the registry's own state at the agent's revision; null when the log does not reach it
 */
export function standingOf(
  held: Held,
  head: Pick<Head, "epoch" | "revision">,
  digestThere: string | null,
): "resume" | "snapshot" | "ahead" {
  if (held.epoch === null || held.epoch < head.epoch) return "snapshot";
  if (held.epoch > head.epoch || held.revision > head.revision) return "ahead";
  if (digestThere === null || head.revision - held.revision > MAX_REPLAY) return "snapshot";
  return digestThere === held.digest ? "resume" : "ahead";
}
