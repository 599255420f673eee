import { Backoff } from "../../lib/backoff.ts";
import { NotTrueError } from "./command.ts";
import { readEvents } from "./events.ts";
import { ConnectionError, type Endpoint, isRecord } from "./http.ts";
import type { Io } from "./io.ts";
import { proofHeaders, type Signing } from "./proof-headers.ts";

/** On how many hosts something is in force. */
export interface Sync {
  readonly applied: number;
  readonly agents: number;
}

export interface Follow {
  readonly endpoint: Endpoint;
  /** Of the registration. */
  readonly id: string;
  readonly signing: Signing;
  /** How far the registry's clock is before this device's. */
  readonly skewMs: number;
  readonly io: Io;
}

/** Hosts are waited for this long. */
const WAIT_MS = 10 * 60_000;
/** Streams that end early or break are opened anew, this often at most. */
const MAX_STREAMS = 40;
const RETRY = { minMs: 500, maxMs: 15_000 };

/**
 * Follows a processed registration until it is in force everywhere, and says on standard error how far it is.
 * @throws NotTrueError when it is not in force everywhere within ten minutes | Problem | ConnectionError
 */
export async function untilInForce(follow: Follow): Promise<Sync> {
  const { io } = follow;
  const end = io.now() + WAIT_MS;
  const backoff = new Backoff(RETRY);
  let last: Sync | null = null;
  for (let streams = 1; ; streams++) {
    let broken: unknown = null;
    try {
      for await (const sync of steps(follow)) {
        if (sync.applied !== last?.applied || sync.agents !== last.agents) io.err(`in force on ${sync.applied} of ${sync.agents} hosts\n`);
        last = sync;
        if (sync.applied === sync.agents) return sync;
      }
    } catch (error) {
      if (!(error instanceof ConnectionError) || !error.retry) throw error;
      broken = error;
    }
    if (io.now() >= end || streams === MAX_STREAMS) {
      if (last === null && broken !== null) throw broken;
      throw new NotTrueError(`not_everywhere: It is in force on ${last?.applied ?? 0} of ${last?.agents ?? "all"} hosts.`);
    }
    await io.sleep(backoff.next());
  }
}

async function* steps({ endpoint, id, signing, skewMs, io }: Follow): AsyncGenerator<Sync> {
  const headers = proofHeaders("status", signing, io.now() + skewMs);
  for await (const { name, data } of readEvents(endpoint, { method: "GET", path: `/v1/registrations/${id}/events`, headers })) {
    if (name !== "applied") continue;
    const sync: unknown = JSON.parse(data);
    if (isRecord(sync) && typeof sync.applied === "number" && typeof sync.agents === "number")
      yield { applied: sync.applied, agents: sync.agents };
  }
}
