import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { connect, type Socket } from "node:net";
import { servePeer } from "../lab/peer.ts";
import type { Target } from "../lab/probe-messages.ts";

/** Hands of a device: sends what the driver made, and knocks without end. Asked over standard input, gone with whoever asks. */
export interface HandsAsks {
  /** One request to `https://host`; `nothing` says why no answer came. */
  send: SendAsk;
  /** From now on one connection attempt every `everyMs`, at one target after the other. */
  knock: { readonly targets: readonly Target[]; readonly everyMs: number };
  /** What became of all knocks so far. */
  knocked: Record<string, never>;
}
export interface HandsAnswers {
  send: { readonly status: number; readonly body: string } | { readonly nothing: string };
  knock: Record<string, never>;
  knocked: { readonly attempts: number; readonly answered: number };
}
export interface SendAsk {
  readonly url: string;
  readonly ca: string;
  readonly method: "POST" | "DELETE" | "GET";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
}

/** Attempts that are open at one time; beyond them the oldest is given up. */
const MAX_KNOCKS = 512;
const agents = new Map<string, Agent>();
const knocks = new Set<Socket>();
const counted = { attempts: 0, answered: 0 };

function agentFor(ca: string): Agent {
  const agent = agents.get(ca) ?? new Agent({ keepAlive: true, maxSockets: 16, ca: readFileSync(ca) });
  agents.set(ca, agent);
  return agent;
}

function send({ url, ca, method, path, headers, body, timeoutMs }: SendAsk): Promise<HandsAnswers["send"]> {
  return new Promise((resolve) => {
    const nothing = (error: Error & { code?: string }) => resolve({ nothing: error.code ?? error.message });
    const content = body === "" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const options = { method, agent: agentFor(ca), headers: { ...content, ...headers }, signal: AbortSignal.timeout(timeoutMs) };
    const sent = request(new URL(path, url), options, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      answer.once("error", nothing);
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, body: text }));
      answer.once("close", () => nothing(new Error("the answer was cut short")));
    });
    sent.once("error", nothing);
    sent.end(body);
  });
}

function knockAt(target: Target): void {
  const [oldest] = knocks;
  if (oldest !== undefined && knocks.size >= MAX_KNOCKS) giveUp(oldest);
  const socket = connect({ host: target.host, port: target.port });
  knocks.add(socket);
  counted.attempts++;
  const heard = () => {
    if (knocks.has(socket)) counted.answered++;
    giveUp(socket);
  };
  socket.once("connect", heard);
  // A timeout of the kernel's own is silence, too.
  socket.on("error", (error: NodeJS.ErrnoException) => (error.code === "ETIMEDOUT" ? giveUp(socket) : heard()));
}

function giveUp(socket: Socket): void {
  knocks.delete(socket);
  socket.destroy();
}

servePeer({
  send,
  async knock({ targets, everyMs }: HandsAsks["knock"]): Promise<HandsAnswers["knock"]> {
    let turn = 0;
    setInterval(() => {
      const target = targets[turn++ % targets.length];
      if (target !== undefined) knockAt(target);
    }, everyMs).unref();
    return {};
  },
  knocked: async (): Promise<HandsAnswers["knocked"]> => ({ ...counted }),
});
