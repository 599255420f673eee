import { readFileSync } from "node:fs";
import { WebSocket } from "ws";
import { FEED } from "../../lib/feed/limits.ts";
import { encode } from "../../lib/feed/messages.ts";
import { servePeer } from "../lab/peer.ts";
import { BENCH_EPOCH, type FanIdentity, type FanPki, fanPkiFile } from "./fan-pki.ts";

/** Many agents' ends of the feed in one process: as little as receives, and acknowledges as an agent does. */
export interface FanClientsAsks {
  connect: { readonly folder: string; readonly url: string };
  received: { readonly n: number };
}
export interface FanClientsAnswers {
  /** How long it took until all were told what they lacked, milliseconds. */
  connect: { readonly ms: number };
  /** When the last of all agents got change `n`, wall-clock milliseconds with fractions. */
  received: { readonly at: number };
}

/** Handshakes under way at one time. */
const CONCURRENT = 64;
const DIGEST = "0".repeat(32);

let count = 0;
const got = new Map<number, { left: number; readonly done: PromiseWithResolvers<number> }>();

function expected(n: number) {
  const known = got.get(n) ?? { left: count, done: Promise.withResolvers<number>() };
  got.set(n, known);
  return known;
}

function receive(socket: WebSocket, text: string): void {
  const n = Number(/^\{"type":"changes","from":(\d+)/.exec(text)?.[1] ?? -1);
  if (n < 0) return;
  const change = expected(n);
  if (--change.left === 0) change.done.resolve(performance.timeOrigin + performance.now());
  socket.send(encode({ type: "ack", epoch: BENCH_EPOCH, revision: n, digest: DIGEST, applyMs: 1 }));
}

function open(url: string, pki: FanPki, { name, certificate }: FanIdentity): Promise<void> {
  return new Promise((resolve, reject) => {
    const identity = { ca: pki.root, cert: certificate, key: pki.key };
    const socket = new WebSocket(url, FEED.subprotocol, { ...identity, minVersion: "TLSv1.3", perMessageDeflate: false });
    socket.on("error", reject);
    socket.on("open", () => {
      const held = { epoch: null, revision: 0, digest: DIGEST };
      socket.send(encode({ type: "hello", agent: name, version: "0.0.0", instance: "bench", ...held }));
    });
    socket.on("message", (data) => {
      const text = String(data);
      if (text.startsWith('{"type":"snapshot.end"')) resolve();
      receive(socket, text);
    });
  });
}

servePeer({
  async connect({ folder, url }: FanClientsAsks["connect"]): Promise<FanClientsAnswers["connect"]> {
    const pki: FanPki = JSON.parse(readFileSync(fanPkiFile(folder), "utf8"));
    count = pki.agents.length;
    const startedAt = performance.now();
    const waiting = pki.agents.values();
    const work = async () => {
      for (const agent of waiting) await open(url, pki, agent);
    };
    await Promise.all(Array.from({ length: CONCURRENT }, work));
    return { ms: performance.now() - startedAt };
  },
  async received({ n }: FanClientsAsks["received"]): Promise<FanClientsAnswers["received"]> {
    return { at: await expected(n).done.promise };
  },
});
