import { readFileSync } from "node:fs";
import { WebSocket } from "ws";
import { parseAgentConfig } from "../../../agent/config.ts";
import { DesiredState } from "../../../agent/desired.ts";
import { FeedClient } from "../../../agent/feed/client.ts";
import { RegistryTime } from "../../../agent/time.ts";
import { systemClock } from "../../../lib/clock.ts";
import { FEED } from "../../../lib/feed/limits.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { Latch } from "../../../lib/latch.ts";
import { type Log, silentLog } from "../../../lib/log.ts";
import type { Control, Identity } from "./setup.ts";

export const FAR = 4_000_000_000_000;
/** The change that admits 203.0.113.N. */
export const set = (n: number): Change => ({ kind: "rule.set", lane: "ip", prefix: `203.0.113.${n}/32`, expiresAt: FAR });

/** The agent's own feed client, which takes what it is told as applied at once. */
export function startAgent(
  control: Pick<Control, "url">,
  name: string,
  identity: Identity,
  desired = new DesiredState(),
  log: Log = silentLog,
  {
    onRenew = () => {},
    onEffect = () => {},
    stateDir,
  }: { readonly onRenew?: (spreadMs: number) => void; readonly onEffect?: () => void; readonly stateDir?: string } = {},
) {
  const registry = { addresses: [control.url], ca: identity.ca, certificate: identity.certificate, key: identity.key };
  const config = parseAgentConfig("test", JSON.stringify({ name, registry, ...(stateDir === undefined ? {} : { stateDir }) }));
  const abort = new AbortController();
  const settled = new Latch();
  const effects: string[] = [];
  const client: FeedClient = new FeedClient({
    config,
    version: "0.0.0",
    desired,
    time: new RegistryTime(systemClock),
    clock: systemClock,
    log,
    settled,
    onEffect: (effect) => {
      if (effect.kind === "none") return;
      effects.push(effect.kind);
      onEffect();
      client.applied(1.5);
    },
    onRenew,
    acknowledged: () => ({ epoch: desired.epoch, revision: desired.revision, digest: desired.digest, tookMs: 0 }),
  });
  const running = client.run(abort.signal);
  return {
    client,
    desired,
    effects,
    settled,
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
    },
  };
}

/** Resolves when the condition holds, looking at every turn of the event loop; the test's own time limit bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A bare WebSocket with an identity; resolves to how it ended: "open", or the error. */
export function dial(
  control: Control,
  identity: Identity | null,
  options: { path?: string; protocol?: string; origin?: string } = {},
): Promise<WebSocket | string> {
  return new Promise((resolve) => {
    const files = identity === null ? {} : { cert: readFileSync(identity.certificate), key: readFileSync(identity.key) };
    const socket = new WebSocket(
      `${control.url.replace("https", "wss")}${options.path ?? FEED.path}`,
      options.protocol ?? FEED.subprotocol,
      {
        rejectUnauthorized: false,
        ...files,
        ...(options.origin === undefined ? {} : { origin: options.origin }),
      },
    );
    socket.on("open", () => resolve(socket));
    socket.on("error", (error) => resolve(error.message));
  });
}

/** A hello as text. */
export const hello = (agent = "host1", more: object = {}): string =>
  JSON.stringify({ type: "hello", agent, version: "1", instance: "i", epoch: null, revision: 0, digest: "0".repeat(32), ...more });

export const closed = (socket: WebSocket) => new Promise<number>((resolve) => socket.once("close", resolve));
