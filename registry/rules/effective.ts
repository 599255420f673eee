import type { Change } from "../../lib/feed/messages.ts";
import type { RuleLane } from "../../lib/service.ts";

/** What decides of a grant whether it holds its prefix. Times are integer milliseconds. */
export interface GrantLife {
  readonly expiresAt: number;
  /** Null while nothing ended it. */
  readonly endedAt: number | null;
}

/** Until when the grants of one prefix in one lane hold it: the latest expiry of those that live at `now`, null when none does. */
export function effectiveExpiry(grants: Iterable<GrantLife>, now: number): number | null {
  let latest: number | null = null;
  for (const { expiresAt, endedAt } of grants) {
    if (endedAt === null && expiresAt > now && (latest === null || expiresAt > latest)) latest = expiresAt;
  }
  return latest;
}

/** The change from one effective expiry of a prefix to another; null when there is none. */
export function ruleChange(lane: RuleLane, prefix: string, before: number | null, after: number | null): Change | null {
  if (after === before) return null;
  return after === null ? { kind: "rule.remove", lane, prefix } : { kind: "rule.set", lane, prefix, expiresAt: after };
}
