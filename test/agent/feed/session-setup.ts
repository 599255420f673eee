import { DesiredState } from "../../../agent/desired.ts";
import { FeedSession } from "../../../agent/feed/session.ts";
import { RegistryTime } from "../../../agent/time.ts";
import type { ServerMessage } from "../../../lib/feed/messages.ts";
import { FakeClock } from "../fake.ts";

export const CEILING = { widest4: 24, widest6: 48, rules: 5 };
export const rule = (prefix: string, expiresAt = 9_000) => ({ kind: "rule.set" as const, lane: "ip" as const, prefix, expiresAt });

export function setUp() {
  const desired = new DesiredState(CEILING);
  const time = new RegistryTime(new FakeClock());
  const session = new FeedSession(desired, time, CEILING);
  return { desired, time, session, open: () => new FeedSession(desired, time, CEILING) };
}

export const welcome = (epoch = "e5"): ServerMessage => ({ type: "welcome", epoch, revision: 0, time: 2_000_000, heartbeatMs: 5_000 });

export function snapshot(session: FeedSession, prefixes: readonly string[], revision = 10, epoch = "e5") {
  const sum = new DesiredState(CEILING);
  for (const prefix of prefixes) sum.load({ lane: "ip", prefix, expiresAt: 9_000 });
  session.handle({ type: "snapshot.begin", epoch, revision, rules: prefixes.length, trust: 0 });
  session.handle({ type: "snapshot.chunk", rules: prefixes.map((prefix) => ["ip", prefix, 9_000]), trust: [] });
  return session.handle({ type: "snapshot.end", revision, digest: sum.digest, time: 2_000_001 });
}
