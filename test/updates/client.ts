import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { Agent, get } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { servePeer } from "../lab/peer.ts";
import type { ClientCertificate } from "../lab/probe-messages.ts";

/** A device that asks without end, in each way that clients do, and remembers what was not answered with 200. */
export interface Asks {
  start: { readonly host: string; readonly ca: string; readonly client: ClientCertificate | null };
  /** Resolves once each of its ways got so many more answers. */
  more: { readonly answers: number };
  stop: Record<string, never>;
}
export interface Answers {
  start: Record<string, never>;
  more: Record<string, never>;
  stop: { readonly answered: Readonly<Record<Way, number>>; readonly refused: readonly string[] };
}

const WAYS = ["kept", "new", "http2"] as const;
export type Way = (typeof WAYS)[number];

/** Between two requests of one way: all three stay under what a source may ask in ten seconds. */
const PAUSE_MS = 20;
/** What is answered later counts as refused: silence is how the gate refuses. */
const PATIENCE_MS = 20_000;
const LOOK_MS = 5;
const MAX_TOLD = 20;

const answered: Record<Way, number> = { kept: 0, new: 0, http2: 0 };
const refused: string[] = [];
let ending = new AbortController();
let loops: Promise<unknown> = Promise.resolve();

async function loop(way: Way, ask: () => Promise<number>): Promise<void> {
  while (!ending.signal.aborted) {
    const said = await ask().catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    if (said === 200) answered[way]++;
    else if (refused.length < MAX_TOLD) refused.push(`${way}: ${said}, at ${new Date().toISOString()}`);
    await delay(PAUSE_MS);
  }
}

/** Over connections of the agent. No retry of any kind: a connection that ends under a request is a refused request. */
function askOver(agent: Agent, options: object): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = get({ ...options, agent, path: "/", timeout: PATIENCE_MS }, (answer) => {
      answer.once("error", reject).once("end", () => resolve(answer.statusCode ?? 0));
      answer.resume();
    });
    request.once("timeout", () => request.destroy(new Error("silence"))).once("error", reject);
  });
}

/**
 * One session for as long as the server lets it take requests (GOAWAY, RFC 9113 §6.8), then the next. A request that crosses the GOAWAY
 * is known not to have been taken, and goes over the next session (§8.7), as in every client.
 */
class Http2Client {
  readonly #url: string;
  readonly #options: object;
  #session: ClientHttp2Session | null = null;

  constructor(host: string, options: object) {
    this.#url = `https://${host}`;
    this.#options = options;
  }

  async ask(): Promise<number> {
    const session = this.#usable();
    try {
      return await this.#askOver(session);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes("NGHTTP2_REFUSED_STREAM") || this.#session === session) throw error;
      return this.#askOver(this.#usable());
    }
  }

  #askOver(session: ClientHttp2Session): Promise<number> {
    return new Promise((resolve, reject) => {
      const stream = session.request({ ":path": "/" });
      const timer = setTimeout(() => reject(new Error("silence")), PATIENCE_MS);
      let status = 0;
      stream.once("response", (headers) => {
        status = headers[":status"] ?? 0;
      });
      stream.once("error", reject).once("close", () => {
        clearTimeout(timer);
        if (status === 0) reject(new Error(`the stream was closed with ${stream.rstCode}`));
        else resolve(status);
      });
      stream.resume();
    });
  }

  end(): void {
    this.#session?.destroy();
  }

  #usable(): ClientHttp2Session {
    const known = this.#session;
    if (known !== null && !known.closed && !known.destroyed) return known;
    const session = connectHttp2(this.#url, this.#options);
    session.on("error", () => {});
    // What is under way is answered still; nothing new begins there.
    session.once("goaway", () => {
      if (this.#session === session) this.#session = null;
    });
    this.#session = session;
    return session;
  }
}

servePeer({
  async start({ host, ca, client }: Asks["start"]): Promise<Answers["start"]> {
    ending = new AbortController();
    const options = { host, ca: readFileSync(ca), ...client };
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    const fresh = new Agent({ keepAlive: false, maxSockets: 1 });
    const http2 = new Http2Client(host, options);
    loops = Promise.all([
      loop("kept", () => askOver(kept, options)),
      loop("new", () => askOver(fresh, options)),
      loop("http2", () => http2.ask()),
    ]).finally(() => {
      kept.destroy();
      fresh.destroy();
      http2.end();
    });
    return {};
  },
  async more({ answers }: Asks["more"]): Promise<Answers["more"]> {
    const enough = WAYS.map((way) => answered[way] + answers);
    while (refused.length === 0 && WAYS.some((way, at) => answered[way] < (enough[at] ?? 0))) await delay(LOOK_MS);
    return {};
  },
  async stop(): Promise<Answers["stop"]> {
    ending.abort();
    await loops;
    return { answered, refused };
  },
});
