import { readFileSync } from "node:fs";
import { Agent, get } from "node:https";
import { connect } from "node:net";
import { servePeer } from "../lab/peer.ts";
import type { ClientCertificate } from "../lab/probe-messages.ts";

/** A client that uses one way in without end, and remembers when it was let in for the last time. */
export type Way = "address" | "certificate" | "request" | "download";

export interface RevokeAsks {
  /** Resolves once it is let in again and again: only then does the last time tell anything. */
  start: { readonly way: Way; readonly host: string; readonly ca: string; readonly client: ClientCertificate | null };
  stop: Record<string, never>;
}
export interface RevokeAnswers {
  start: Record<string, never>;
  /** Milliseconds since 1970: the last connection that opened, by its first packet; the last answer; the last byte of a download. */
  stop: { readonly lastMs: number };
}

/** Between two attempts. Requests stay under what a source may make in ten seconds. */
const EVERY_MS: Readonly<Record<Way, number>> = { address: 1, certificate: 10, request: 6, download: 0 };
const MAX_OPEN = 64;
const OFTEN = 10;
/** More handshakes than this at a time wait for each other, on both sides, and are what is measured then: 579 ms at 64, 76 ms at 4, on two busy cores. */
const MAX_HANDSHAKES = 4;

let lastMs = 0;
let stop = (): void => {};

function begin({ way, host, ca, client }: RevokeAsks["start"], onIn: () => void): () => void {
  const admitted = (at: number) => {
    lastMs = Math.max(lastMs, at);
    onIn();
  };
  if (way === "address") return every(EVERY_MS.address, (done) => knock(host, admitted, done));
  const agent = new Agent({ keepAlive: way === "request", maxSockets: way === "certificate" ? MAX_HANDSHAKES : 1 });
  const options = { host, agent, ca: readFileSync(ca), ...client };
  if (way === "download") {
    const request = get({ ...options, path: "/stream?bytesPerSecond=2000000" }, (answer) => answer.on("data", () => admitted(Date.now())));
    request.on("error", () => {});
    return () => agent.destroy();
  }
  const end = every(
    EVERY_MS[way],
    (done) => {
      const request = get({ ...options, path: "/" }, (answer) => {
        if (answer.statusCode === 200) admitted(Date.now());
        answer.resume().once("close", done);
      });
      request.once("error", done);
    },
    way === "request" ? 1 : MAX_HANDSHAKES,
  );
  return () => {
    end();
    agent.destroy();
  };
}

function knock(host: string, admitted: (at: number) => void, done: () => void): void {
  const sentAt = Date.now();
  const socket = connect({ host, port: 443 });
  const timer = setTimeout(() => socket.destroy(), 200);
  socket.once("connect", () => {
    admitted(sentAt);
    socket.destroy();
  });
  socket
    .on("error", () => {})
    .once("close", () => {
      clearTimeout(timer);
      done();
    });
}

/** Starts an attempt at every tick, at most `most` at a time. */
function every(ms: number, attempt: (done: () => void) => void, most = MAX_OPEN): () => void {
  let open = 0;
  const timer = setInterval(() => {
    if (open >= most) return;
    open++;
    attempt(() => open--);
  }, ms);
  return () => clearInterval(timer);
}

servePeer({
  start: (ask: RevokeAsks["start"]) =>
    new Promise<RevokeAnswers["start"]>((resolve) => {
      lastMs = 0;
      let times = 0;
      stop = begin(ask, () => ++times === OFTEN && resolve({}));
    }),
  async stop(): Promise<RevokeAnswers["stop"]> {
    stop();
    return { lastMs };
  },
});
