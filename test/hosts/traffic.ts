import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { PORT } from "../../lib/service.ts";
import { startCapture } from "../lab/capture.ts";
import { startProbe } from "../lab/probe-client.ts";
import type { Machine } from "./machine.ts";
import type { Device } from "./network.ts";
import type { Stand } from "./stand.ts";

/** For an answer that must come: a refusal is told at once, a slow machine is none. */
const PATIENT_MS = 30_000;
/** Between two requests: without a pause the client takes the machine from the hosts that it asks. */
const PAUSE_MS = 50;

/** What became of the requests. */
export interface Counts {
  readonly answered: number;
  readonly refused: number;
  /** SYNs that had to be sent once more, after a second: the gate was closed for a moment that no request was long enough to see. */
  readonly repeated: number;
}

export interface Traffic extends AsyncDisposable {
  /** Requests answered so far. */
  readonly answered: number;
  stop(): Promise<Counts>;
}

/** Requests of the registered device to one gate, one after the other, each over a connection of its own. */
export async function startTraffic(stand: Stand, gate: Machine): Promise<Traffic> {
  const { v4 }: Device = stand.registered;
  const syns = await startCapture(stand.registered.netns, `src host ${v4} and dst host ${gate.v4} and tcp[tcpflags] == tcp-syn`);
  const probe = await startProbe(stand.registered.netns);
  const asked = { host: gate.v4, port: PORT.service, path: "/", ca: join(stand.folder, "ca.pem"), timeoutMs: PATIENT_MS };
  let going = true;
  const counts = { answered: 0, refused: 0 };
  const working = (async () => {
    while (going) {
      const said = await probe.ask("get", asked).catch(() => undefined);
      counts[said?.body === `${gate.name} answers` ? "answered" : "refused"]++;
      await delay(PAUSE_MS);
    }
  })();
  let stopping: Promise<void> | undefined;
  const end = async () => {
    going = false;
    await working;
    await probe[Symbol.asyncDispose]();
    await syns[Symbol.asyncDispose]();
  };
  const stop = async () => {
    stopping ??= end();
    await stopping;
    // One connection has one port and one first sequence number.
    const connections = new Set(syns.packets.map(({ fromPort, text }) => `${fromPort} ${/seq \d+/.exec(text)?.[0]}`));
    return { ...counts, repeated: syns.packets.length - connections.size };
  };
  return {
    get answered() {
      return counts.answered;
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}
