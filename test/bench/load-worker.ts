import { readFileSync } from "node:fs";
import { servePeer } from "../lab/peer.ts";
import { LoadConnection } from "./load-connection.ts";
import { LoadRequests } from "./load-requests.ts";

/** Registers distinct addresses, or certificates, at a steady rate over kept-open connections, whatever the answers take, until it is told to stop. */
export interface LoadAsks {
  start: {
    readonly url: string;
    readonly ca: string;
    readonly registry: string;
    readonly code: string;
    readonly perSecond: number;
    /** With a certificate request, instead of an address. */
    readonly certified: boolean;
  };
  stop: Record<string, never>;
}
export interface LoadAnswers {
  start: Record<string, never>;
  /** Answered with 201 in a second, over the whole time. With 202 the registry says that it is late; anything else is a failure. */
  stop: { readonly perSecond: number; readonly failed: number };
}

const CONNECTIONS = 64;
/** Keys whose requests are sent in turns. */
const KEYS = 1_000;
/** Signed before the clock runs, for so many seconds; later ones are signed as they are sent. */
const READY_SECONDS = 30;
const TICK_MS = 5;

let timer: NodeJS.Timeout | undefined;
let startedAt = 0;
const counted = { sent: 0, accepted: 0, failed: 0 };

servePeer({
  async start({ url, ca, registry, code, perSecond, certified }: LoadAsks["start"]): Promise<LoadAnswers["start"]> {
    const to = new URL(url);
    const requests = await LoadRequests.start({ host: to.host, registry, code }, certified ? KEYS : 0);
    const ready = Array.from({ length: perSecond * READY_SECONDS }, () => requests.next());
    // The one that rested longest is the next, so that none is closed for having nothing to do.
    const idle: LoadConnection[] = [];
    const answered = (connection: LoadConnection, status: number): void => {
      if (status !== 202) counted[status === 201 ? "accepted" : "failed"]++;
      if (status !== 0) idle.push(connection);
      send();
    };
    // While all connections wait none is sent, so the rate that is told falls short.
    const send = (): void => {
      const due = ((performance.now() - startedAt) / 1_000) * perSecond;
      while (counted.sent < due) {
        const connection = idle.shift();
        if (connection === undefined) return;
        connection.send(ready[counted.sent++] ?? requests.next());
      }
    };
    const root = readFileSync(ca);
    idle.push(...(await Promise.all(Array.from({ length: CONNECTIONS }, () => LoadConnection.open(to, root, answered)))));
    startedAt = performance.now();
    timer = setInterval(send, TICK_MS);
    return {};
  },
  async stop(): Promise<LoadAnswers["stop"]> {
    clearInterval(timer);
    return { perSecond: Math.round((counted.accepted / (performance.now() - startedAt)) * 1_000), failed: counted.failed };
  },
});
